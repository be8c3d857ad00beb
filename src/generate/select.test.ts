import { describe, expect, it } from "vitest";
import { philox, uniform } from "./random.js";
import { sampleDistinct } from "./sample.js";
import { kthLargest, largestAt, logSoftmax, topK } from "./select.js";

describe("selection", () => {
  const scores = Float32Array.from({ length: 5000 }, (_, i) =>
    Math.fround(Math.sin(i * 12.9898) * 43758.5453),
  );
  const sorted = [...scores].sort((a, b) => b - a);

  it("finds the k-th largest as a sort does", () => {
    for (const k of [1, 2, 7, 50, 4999, 5000]) expect(kthLargest(scores, k)).toBe(sorted[k - 1]);
  });
  it("gives the k largest, best first, equals in their order", () => {
    expect([...topK(scores, 9).values]).toEqual(sorted.slice(0, 9));
    expect([...topK([1, 2, 2, 0, 2], 3).indices]).toEqual([1, 2, 4]);
  });
  it("takes the first of equal maxima", () => {
    expect(largestAt(Float32Array.of(1, 3, 3))).toBe(1);
    expect(largestAt(new Float32Array(3).fill(Number.NEGATIVE_INFINITY))).toBe(0);
  });
  it("normalizes: the probabilities sum to one, bans stay", () => {
    const row = Float32Array.of(1000, 1001, Number.NEGATIVE_INFINITY);
    logSoftmax(row);
    expect(Math.exp(row[0]!) + Math.exp(row[1]!)).toBeCloseTo(1, 6);
    expect(row[2]).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe("randomness", () => {
  it("is Philox4x32-10 (known answers of Random123)", () => {
    const hex = (words: Uint32Array): string => [...words].map((word) => word.toString(16)).join(" ");
    expect(hex(philox([0, 0], [0, 0, 0, 0]))).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
    expect(hex(philox([-1, -1], [-1, -1, -1, -1]))).toBe("408f276d 41c83b0e a20bc7c6 6d5451fd");
    expect(hex(philox([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]))).toBe(
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    );
  });
  it("is uniform and differs by seed, row, step and draw", () => {
    const draws = Array.from({ length: 20000 }, (_, i) => uniform(5, i % 10, Math.floor(i / 10)));
    expect(draws.reduce((sum, u) => sum + u) / draws.length).toBeCloseTo(0.5, 2);
    expect(draws.reduce((sum, u) => sum + (u - 0.5) ** 2) / draws.length).toBeCloseTo(1 / 12, 2);
    const places = [
      uniform(1, 0, 0),
      uniform(2, 0, 0),
      uniform(1, 1, 0),
      uniform(1, 0, 1),
      uniform(1, 0, 0, 1),
    ];
    expect(new Set([...places, uniform(2 ** 32 + 1, 0, 0)]).size).toBe(6);
  });
  it("draws distinct places by weight, then the best of the impossible", () => {
    const scores = Float32Array.of(0, Math.log(3), -1e9, -2e9);
    const firsts = Array.from({ length: 4000 }, (_, step) => sampleDistinct(scores, 3, 1, 0, step));
    expect(firsts.every((drawn) => new Set(drawn).size === 3 && drawn[2] === 2)).toBe(true);
    expect(firsts.filter((drawn) => drawn[0] === 1).length / 4000).toBeCloseTo(0.75, 1);
  });
});
