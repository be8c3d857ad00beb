import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { LinearSite } from "../graph/module.js";
import { normal, random } from "../random.js";
import { lora } from "./lora.js";
import { LoraConfig, type LoraOptions } from "./lora_config.js";
import type { Prepared } from "./method.js";

interface Plain {
  shape: [number, number];
  data: number[];
}
const { starts } = JSON.parse(
  readFileSync(new URL("../../tests/golden/adapters.json", import.meta.url), "utf8"),
) as {
  starts: { weight: Plain; cases: Record<string, { kind: string; residual: Plain }> };
};
const [OUT, IN] = starts.weight.shape;

function site(transposed = false): LinearSite {
  return { path: "layer", inDim: IN, outDim: OUT, weight: "layer.weight", bias: undefined, transposed };
}

function transposeOf(x: ArrayLike<number>, rows: number, cols: number): Float32Array {
  return Float32Array.from({ length: x.length }, (_, i) => x[(i % rows) * cols + Math.floor(i / rows)]!);
}

const weight = Float32Array.from(starts.weight.data);

const bare = { bias: undefined, p: () => new Float32Array(0) };

function prepare(options: LoraOptions, transposed = false): Prepared {
  const stored = transposed ? transposeOf(weight, OUT, IN) : weight;
  return lora.layers!.linear!.prepare!(new LoraConfig(options), site(transposed), stored, random(0), bare)!;
}

/** B A [out, in] */
function product({ parameters }: Prepared, r: number): Float64Array {
  const [a, b] = [parameters["lora_A.weight"]!, parameters["lora_B.weight"]!];
  return Float64Array.from({ length: OUT * IN }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < r; k++) sum += b[Math.floor(at / IN) * r + k]! * a[k * IN + (at % IN)]!;
    return sum;
  });
}

function distance(x: ArrayLike<number>, y: ArrayLike<number>): number {
  expect(x.length).toBe(y.length);
  return Math.max(...Array.from(x, (value, i) => Math.abs(value - y[i]!)));
}

describe.each(Object.keys(starts.cases))("%s", (name) => {
  const { kind, residual } = starts.cases[name]!;
  const transposed = kind === "conv1d";
  const init = name.split("-")[0] as "pissa" | "olora";
  const found = prepare({ r: 4, loraAlpha: 6, initLoraWeights: init }, transposed);

  it("takes s B A from the weight, as Python does", () => {
    const left = transposed ? transposeOf(found.weight!, IN, OUT) : found.weight!;
    expect(distance(left, residual.data)).toBeLessThan(1e-5);
    const whole = product(found, 4).map((x, i) => 1.5 * x + left[i]!);
    expect(distance(whole, weight)).toBeLessThan(1e-5);
  });
});

it("pissa_niter_N is the same decomposition", () => {
  const found = prepare({ r: 4, loraAlpha: 6, initLoraWeights: "pissa_niter_4" });
  expect(distance(found.weight!, starts.cases.pissa!.residual.data)).toBeLessThan(1e-4);
});

it("PiSSA shares the singular values evenly: rows of A and columns of B are of one length", () => {
  const { parameters } = prepare({ r: 4, initLoraWeights: "pissa" });
  const [a, b] = [parameters["lora_A.weight"]!, parameters["lora_B.weight"]!];
  for (let k = 0; k < 4; k++) {
    const row = a.slice(k * IN, (k + 1) * IN);
    const column = Float32Array.from({ length: OUT }, (_, o) => b[o * 4 + k]!);
    const [x, y] = [row, column].map((v) => Math.sqrt(v.reduce((sum, value) => sum + value * value, 0)));
    expect(x).toBeCloseTo(y!, 4);
  }
});

it("orthogonal: B A is zero though neither is, and the elements' deviation is 1/10 of a row's share", () => {
  const big: LinearSite = { ...site(), inDim: 2000, outDim: 2000 };
  const c = new LoraConfig({ r: 8, initLoraWeights: "orthogonal" });
  const { parameters, weight: left } = lora.layers!.linear!.prepare!(
    c,
    big,
    new Float32Array(0),
    random(1),
    bare,
  )!;
  expect(left).toBeUndefined();
  for (const key of ["lora_A.weight", "lora_B.weight"]) {
    const x = parameters[key]!;
    const deviation = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
    // Half of r directions, each N(0, 1) / 10, spread over r elements: sqrt(1/2) / 10.
    expect(deviation).toBeGreaterThan(0.0707 * 0.97);
    expect(deviation).toBeLessThan(0.0707 * 1.03);
  }
  const small = prepare({ r: 4, initLoraWeights: "orthogonal" });
  expect(distance(product(small, 4), new Float64Array(OUT * IN))).toBeLessThan(1e-6);
});

describe("DoRA's magnitude", () => {
  const norms = (w: ArrayLike<number>): number[] =>
    Array.from({ length: OUT }, (_, o) => {
      let sum = 0;
      for (let i = 0; i < IN; i++) sum += w[o * IN + i]! ** 2;
      return Math.sqrt(sum);
    });

  it.each([false, true])("is the length of the weight's rows (transposed: %s)", (transposed) => {
    const { parameters } = prepare({ useDora: true }, transposed);
    expect(Object.keys(parameters)).toEqual(["lora_magnitude_vector"]);
    expect(distance(parameters.lora_magnitude_vector!, norms(weight))).toBeLessThan(1e-5);
  });

  it("counts what A and B add where they do not start at zero", () => {
    const found = prepare({ useDora: true, initLoraWeights: false, r: 4, loraAlpha: 6 });
    const whole = product(found, 4).map((x, i) => weight[i]! + 1.5 * x);
    expect(distance(found.parameters.lora_magnitude_vector!, norms(whole))).toBeLessThan(1e-5);
    expect(distance(norms(whole), norms(weight))).toBeGreaterThan(0.01);
  });

  it("is the whole weight's where PiSSA splits it", () => {
    const found = prepare({ useDora: true, initLoraWeights: "pissa", r: 4 });
    expect(distance(found.parameters.lora_magnitude_vector!, norms(weight))).toBeLessThan(1e-4);
  });

  it("of an embedding is one per column", () => {
    const table = Float32Array.from({ length: 6 * 3 }, () => normal(random(2)));
    const place = { path: "layer", vocab: 6, dim: 3, weight: "layer.weight" };
    const { parameters } = lora.layers!.embedding!.prepare!(
      new LoraConfig({ useDora: true }),
      place,
      table,
      random(0),
      bare,
    )!;
    const wanted = [0, 1, 2].map((d) => Math.hypot(...[0, 1, 2, 3, 4, 5].map((row) => table[row * 3 + d]!)));
    expect(distance(parameters.lora_magnitude_vector!, wanted)).toBeLessThan(1e-5);
  });
});

it("a rank above the weight's directions is refused by name", () => {
  expect(() => prepare({ r: 17, initLoraWeights: "pissa" })).toThrow(/\[adapter-config\].*r is 17 at layer/);
  expect(() => prepare({ r: 17, initLoraWeights: "olora" })).toThrow(/no more than 16 directions/);
});

it("nothing is prepared where a start needs no weight", () => {
  for (const initLoraWeights of [true, false, "gaussian"] as const) {
    expect(prepare({ initLoraWeights })).toBeUndefined();
    const specs = lora.layers!.linear!.parameters(new LoraConfig({ initLoraWeights }), site());
    expect(specs.every((spec) => spec.initial.kind !== "prepared")).toBe(true);
  }
});
