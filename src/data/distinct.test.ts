import { describe, expect, it } from "vitest";
import { batchesOf } from "./batches.js";
import { textKeys, withoutRepeats } from "./distinct.js";
import type { Sample } from "./sample.js";

const ids = (...values: readonly number[]): Int32Array => Int32Array.from(values);
const pair = (row: number, anchor: number, positive: number): Sample<"FEATURE_EXTRACTION"> => ({
  ...{ task: "FEATURE_EXTRACTION", row, at: `row ${row}` },
  ...{ inputIds: ids(1, anchor), others: [{ inputIds: ids(1, positive) }] },
});

/** Texts that come twice in a batch, over all batches. */
const repeats = (batches: readonly (readonly number[])[], keys: readonly (readonly number[])[]): number =>
  batches.reduce((n, rows) => {
    const all = rows.flatMap((row) => [...new Set(keys[row])]);
    return n + all.length - new Set(all).size;
  }, 0);

describe("batches of pairs", () => {
  it("have no text twice where that can be, keep their sizes, and lose no row", () => {
    const keys = Array.from({ length: 40 }, (_, i) => [i % 10, 100 + i]); // each anchor four times
    const batches = Array.from({ length: 8 }, (_, i) => keys.map((_, k) => k).slice(5 * i, 5 * i + 5));
    const clustered = batches.map((rows) => rows.map((row) => (row % 4) * 10 + Math.floor(row / 4)));
    expect(repeats(clustered, keys)).toBeGreaterThan(20);
    const apart = withoutRepeats(clustered, keys);
    expect(repeats(apart, keys)).toBe(0);
    expect(apart.map((rows) => rows.length)).toEqual(clustered.map((rows) => rows.length));
    expect(apart.flat().sort((a, b) => a - b)).toEqual(keys.map((_, i) => i));
  });

  it("are left as they are where nothing repeats, and where nothing helps", () => {
    const rows = [
      [0, 1],
      [2, 3],
    ];
    expect(withoutRepeats(rows, [[1], [2], [3], [4]])).toEqual(rows);
    expect(withoutRepeats(rows, [[1], [1], [1], [1]]).flat()).toHaveLength(4);
  });

  it("come so out of batchesOf: equal texts are told by their tokens", async () => {
    const samples = Array.from({ length: 12 }, (_, i) => pair(i, 10 + (i % 6), 50 + i));
    for await (const { inputIds } of batchesOf(samples, { batchSize: 6, seed: 3, padTokenId: 0 })) {
      const texts = Array.from({ length: inputIds.shape[0] }, (_, i) => inputIds.data[2 * i + 1]);
      expect(new Set(texts).size).toBe(12);
    }
    expect(textKeys(samples)?.[0]).toEqual([textKeys(samples)?.[6]?.[0], expect.any(Number)]);
    expect(textKeys([{ ...pair(0, 1, 2), score: 0.5 }])).toBeUndefined();
  });
});
