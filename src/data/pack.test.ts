import { describe, expect, it } from "vitest";
import { packed } from "./pack.js";
import type { CausalLMSample } from "./sample.js";

function sample(row: number, length: number): CausalLMSample {
  const inputIds = Int32Array.from({ length }, (_, i) => 100 * row + i);
  return { task: "CAUSAL_LM", row, at: `row ${row + 1}`, inputIds, labels: inputIds };
}

describe("packed", () => {
  it("puts the longest first, each into the fullest sample that has room", () => {
    const samples = [3, 8, 2, 5, 7, 2].map((length, row) => sample(row, length));
    const rows = packed(samples, 10).map(({ inputIds }) => [
      ...new Set([...inputIds].map((id) => Math.floor(id / 100))),
    ]);
    // 8 + 2, 7 + 3, 5 + 2
    expect(rows).toEqual([
      [1, 2],
      [0, 4],
      [3, 5],
    ]);
  });

  it("numbers the documents, and learns nothing of the first token of each", () => {
    const [one] = packed([sample(0, 3), sample(1, 2)], 8);
    expect([...(one?.documents ?? [])]).toEqual([1, 1, 1, 2, 2]);
    expect([...(one?.labels ?? [])]).toEqual([-100, 1, 2, -100, 101]);
  });

  it("cuts what is longer into several, and leaves out a piece of one token", () => {
    const samples = packed([sample(0, 9)], 4);
    expect(samples.map(({ inputIds }) => inputIds.length)).toEqual([4, 4]);
  });
});
