import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { badWords, force, minLength, noRepeatNgram, repetitionPenalty } from "./processors.js";
import type { Rule } from "./rule.js";
import { minP, temperature, topK, topP, typicalP } from "./warpers.js";

type Tensors = Record<string, { shape: number[]; data: Float32Array | BigInt64Array }>;

/** Just enough of a safetensors reader for f32 and i64. */
function readKit(path: string): Tensors {
  const bytes = readFileSync(path);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + size)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  delete header["__metadata__"];
  const entries = Object.entries(header).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => {
      const copy = Uint8Array.from(bytes.subarray(8 + size + from, 8 + size + to)).buffer;
      return [
        name,
        { shape, data: dtype === "I64" ? new BigInt64Array(copy) : new Float32Array(copy) },
      ] as const;
    },
  );
  return Object.fromEntries(entries);
}

const kit = readKit("tests/kit/scores.safetensors");
const rules: Record<string, (value: number) => Rule> = {
  temperature,
  top_k: topK,
  top_p: topP,
  min_p: minP,
  typical_p: typicalP,
  repetition_penalty: repetitionPenalty,
  no_repeat_ngram_size: noRepeatNgram,
};
const names = Object.keys(kit).filter((name) => name.includes("-"));

describe("rules of the kit", () => {
  it("covers every rule there", () => {
    expect(names.map((name) => name.split("-")[0]).sort()).toEqual(Object.keys(rules).sort());
  });

  it.each(names)("%s", (name) => {
    const [rule, value] = name.split("-") as [string, string];
    const [rows, vocab] = kit["scores"]!.shape as [number, number];
    const ids = Int32Array.from(kit["ids"]!.data as BigInt64Array, Number);
    const scores = Float32Array.from(kit["scores"]!.data as Float32Array);
    for (let row = 0; row < rows; row++) {
      const own = ids.subarray(row * (ids.length / rows), (row + 1) * (ids.length / rows));
      rules[rule]!(Number(value))(own, scores.subarray(row * vocab, (row + 1) * vocab), 0);
    }
    expect(scores).toEqual(kit[name]!.data); // to the bit
  });
});

const ids = (...values: number[]): Int32Array => Int32Array.from(values);
const apply = (rule: Rule, before: Int32Array, scores: number[], padding = 0): number[] => {
  const row = Float32Array.from(scores);
  rule(before, row, padding);
  return [...row];
};
const NEVER = Number.NEGATIVE_INFINITY;

describe("single rules", () => {
  it("penalizes a repeated token once, and padding not at all", () => {
    expect(apply(repetitionPenalty(2), ids(0, 1, 1, 2), [4, 4, -4, 4], 1)).toEqual([4, 2, -8, 4]);
  });
  it("bans what completed the n-gram before", () => {
    expect(apply(noRepeatNgram(3), ids(1, 2, 3, 1, 2), [0, 0, 0, 0])).toEqual([0, 0, 0, NEVER]);
    expect(apply(noRepeatNgram(3), ids(1, 2), [0, 0, 0, 0])).toEqual([0, 0, 0, 0]);
  });
  it("bans a bad word's last token only behind the others, and never an end token alone", () => {
    expect(apply(badWords([[1], [3, 2], [0, 3]], [1]), ids(0, 3), [0, 0, 0, 0])).toEqual([0, 0, NEVER, 0]);
  });
  it("keeps every end token back until the minimum", () => {
    expect(apply(minLength(3, [0, 2]), ids(1, 1), [1, 1, 1])).toEqual([NEVER, 1, NEVER]);
    expect(apply(minLength(2, [0, 2]), ids(1, 1), [1, 1, 1])).toEqual([1, 1, 1]);
  });
  it("forces tokens at one length", () => {
    expect(apply(force(1, [1]), ids(7), [3, -3, 3])).toEqual([NEVER, 0, NEVER]);
    expect(apply(force(1, [1]), ids(7, 7), [3, -3, 3])).toEqual([3, -3, 3]);
  });
  it("keeps ties of the last in top-k, and leaves short rows alone", () => {
    expect(apply(topK(2), ids(), [1, 3, 2, 2])).toEqual([NEVER, 3, 2, 2]);
    expect(apply(topK(9), ids(), [1, 3])).toEqual([1, 3]);
  });
  it("keeps the later of equals in top-p, and always `keep`", () => {
    expect(apply(topP(0.5), ids(), [1, 1, 1, 1])).toEqual([NEVER, NEVER, 1, 1]);
    expect(apply(topP(0.01, 2), ids(), [9, 1, 2])).toEqual([9, NEVER, 2]);
  });
  it("keeps `keep` in min-p and typical-p", () => {
    expect(apply(minP(1, 2), ids(), [9, 1, 2])).toEqual([9, NEVER, 2]);
    expect(apply(typicalP(0.01, 2), ids(), [9, 1, NEVER])).toEqual([9, 1, NEVER]);
  });
  it("warps a vocabulary of 250112", () => {
    const scores = Float32Array.from({ length: 250112 }, (_, i) => Math.sin(i * 1.7) * 8);
    for (const rule of [temperature(0.7), topP(0.9), typicalP(0.9), topK(50)]) rule(ids(), scores, 0);
    expect(scores.filter((score) => score !== NEVER).length).toBeGreaterThanOrEqual(50);
  });
});
