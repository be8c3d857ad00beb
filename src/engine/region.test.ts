import { describe, expect, it } from "vitest";
import type { Dims } from "./region.js";
import { arenaMemory, Region } from "./region.js";

const MB = 1 << 20;
const dims = (rows: number, seq: number): Dims => new Map(Object.entries({ rows, seq }));

describe("Region", () => {
  const needOf = (d: Dims): number => MB * d.get("rows")! * d.get("seq")!;

  it("holds what is no larger in any dimension, and what grows within it", () => {
    const region = new Region(dims(2, 10), needOf); // 20 MB, in a region of 32
    expect(region.holds(dims(1, 9))).toBe(true);
    expect(region.holds(dims(2, 14))).toBe(true);
    expect(region.holds(dims(2, 15))).toBe(false);
    expect(region.holds(dims(14, 2))).toBe(true);
  });

  it("asks for a piece that makes the arena take a region of its size, and for little more than is needed", () => {
    for (const need of [5, 20, 29, 30, 100, 1000].map((n) => n * MB)) {
      const { request, memory } = new Region(dims(1, 1), () => need);
      const taken = 2 ** Math.ceil(Math.log2(request)); // by ONNX Runtime's arena
      expect(taken).toBeGreaterThanOrEqual(need);
      expect(request).toBeLessThanOrEqual(1.11 * need);
      expect(memory).toBe(arenaMemory(need));
    }
  });

  it("asks seldom as a dimension grows one by one", () => {
    let asked = 0;
    let regions = 0;
    const count = (d: Dims): number => {
      asked++;
      return needOf(d);
    };
    let region = new Region(dims(1, 1), count);
    for (let seq = 2; seq <= 1000; seq++) {
      if (region.holds(dims(1, seq))) continue;
      region = new Region(dims(1, seq), count);
      regions++;
    }
    expect(regions).toBeLessThan(10);
    expect(asked).toBeLessThan(300);
  });
});
