import { describe, expect, it } from "vitest";
import { random } from "../random.js";
import { initialize } from "./initialize.js";

// Statistics of 1e5 draws: limits are five standard errors, so that a right generator fails once in a million
// seeds.
const n = 100_000;
const rows = 100;
const mean = (x: Float32Array): number => x.reduce((a, b) => a + b, 0) / x.length;
const moment = (x: Float32Array, k: number): number => x.reduce((a, b) => a + b ** k, 0) / x.length;
function draw(initial: Parameters<typeof initialize>[2], seed = 0): Float32Array {
  const data = new Float32Array(n);
  initialize(data, [rows, n / rows], initial, random(seed));
  return data;
}

describe("uniform", () => {
  const bound = 1 / Math.sqrt(768);
  const x = draw({ kind: "uniform", bound });
  it("stays within its bound and reaches it", () => {
    expect(Math.max(...x)).toBeLessThanOrEqual(bound);
    expect(Math.min(...x)).toBeGreaterThanOrEqual(-bound);
    expect(Math.max(...x)).toBeGreaterThan(0.999 * bound);
    expect(Math.min(...x)).toBeLessThan(-0.999 * bound);
  });
  it("has mean 0 and variance bound^2 / 3", () => {
    expect(Math.abs(mean(x))).toBeLessThan((5 * bound) / Math.sqrt(3 * n));
    expect(moment(x, 2) / (bound ** 2 / 3)).toBeCloseTo(1, 1.8);
  });
  it("fills ten equal bins equally", () => {
    const bins = new Array<number>(10).fill(0);
    for (const v of x) bins[Math.min(9, Math.floor((v / bound + 1) * 5))]! += 1;
    for (const count of bins) expect(Math.abs(count - n / 10)).toBeLessThan(5 * Math.sqrt(n * 0.09));
  });
});

describe("normal", () => {
  const std = 1 / 8;
  const x = draw({ kind: "normal", std });
  it("has mean 0, its standard deviation, and a normal's tails", () => {
    expect(Math.abs(mean(x))).toBeLessThan((5 * std) / Math.sqrt(n));
    expect(Math.abs(Math.sqrt(moment(x, 2)) / std - 1)).toBeLessThan(5 / Math.sqrt(2 * n));
    expect(Math.abs(moment(x, 4) / (3 * std ** 4) - 1)).toBeLessThan(5 * Math.sqrt(96 / 9 / n));
    const within = x.filter((v) => Math.abs(v) < std).length / n;
    expect(Math.abs(within - 0.6827)).toBeLessThan(5 * Math.sqrt((0.68 * 0.32) / n));
  });
});

describe("orthogonal", () => {
  it.each([
    [6, 20],
    [20, 6],
    [7, 7],
  ])("[%i, %i]: the shorter side's vectors are orthonormal, times the gain", (r, c) => {
    const data = new Float32Array(r * c);
    initialize(data, [r, c], { kind: "orthogonal", gain: 2 }, random(1));
    const at = (i: number, j: number): number => (r <= c ? data[i * c + j]! : data[j * c + i]!);
    const [count, length] = r <= c ? [r, c] : [c, r];
    for (let i = 0; i < count; i++)
      for (let k = 0; k <= i; k++) {
        let dot = 0;
        for (let j = 0; j < length; j++) dot += at(i, j) * at(k, j);
        expect(dot).toBeCloseTo(i === k ? 4 : 0, 4);
      }
  });
});

it("a constant is one, and what a method prepares is left alone", () => {
  expect(draw({ kind: "constant", value: 1 }).every((x) => x === 1)).toBe(true);
  expect(draw({ kind: "prepared" }).every((x) => x === 0)).toBe(true);
});

it("the same seed draws the same, another draws others", () => {
  const spec = { kind: "normal", std: 1 } as const;
  const some = (seed: number): Float32Array => draw(spec, seed).slice(0, 100);
  expect(some(3)).toEqual(some(3));
  expect(some(3)).not.toEqual(some(4));
});
