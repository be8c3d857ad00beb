import { describe, expect, it } from "vitest";
import { collate } from "./collate.js";
import { encodeRows } from "./encode.js";
import { preview } from "./preview.js";
import type { SimilarityRow } from "./row.js";
import { rowsFrom } from "./rows_from.js";
import type { EncodeTextOptions, TokenizerLike } from "./types.js";

/** Each word is its length. */
const tokenizer: TokenizerLike = Object.assign(
  (text: string | string[], { maxLength, truncation }: EncodeTextOptions = {}) => {
    const inputIds = [text].flat().map((one) => one.split(" ").map((word) => word.length));
    const cut = inputIds.map((ids) => (truncation ? ids.slice(0, maxLength) : ids));
    return { inputIds: cut, attentionMask: cut.map((ids) => ids.map(() => 1)) };
  },
  { decode: (ids: number[]) => ids.join("-"), padTokenId: 0, paddingSide: "right" as const },
);

async function rowsOf(records: readonly Record<string, unknown>[], options = {}): Promise<unknown[]> {
  const rows = await rowsFrom(records, options);
  return rows.map((row) => {
    const { kind, texts, score } = row as SimilarityRow;
    return [kind, texts, score];
  });
}

describe("rows of texts", () => {
  it("are known by sentence-transformers' columns", async () => {
    expect(await rowsOf([{ anchor: "a", positive: "b" }])).toEqual([["similarity", ["a", "b"], undefined]]);
    expect(await rowsOf([{ query: "q", positive: "p", negative: "n" }])).toEqual([
      ["similarity", ["q", "p", "n"], undefined],
    ]);
  });

  it("have several negatives: in numbered columns, or as a list; empty ones are none", async () => {
    const numbered = [
      { anchor: "a", positive: "b", negative_1: "c", negative_2: "d", negative_3: null },
      { anchor: "e", positive: "f", negative_1: "", negative_2: "g", negative_3: "h" },
    ];
    expect(await rowsOf(numbered)).toEqual([
      ["similarity", ["a", "b", "c", "d"], undefined],
      ["similarity", ["e", "f", "g", "h"], undefined],
    ]);
    expect(await rowsOf([{ query: "q", pos: "p", negatives: ["m", "n"] }])).toEqual([
      ["similarity", ["q", "p", "m", "n"], undefined],
    ]);
  });

  it("have scores; the task says that they are no labels of a classifier", async () => {
    const scored = [{ sentence1: "a", sentence2: "b", score: "0.5" }];
    expect(await rowsOf(scored, { taskType: "FEATURE_EXTRACTION" })).toEqual([
      ["similarity", ["a", "b"], 0.5],
    ]);
    expect(await rowsOf(scored)).toEqual([["classify", undefined, undefined]]);
    await expect(rowsOf([{ anchor: "a", positive: "b", score: "near" }])).rejects.toThrow(
      /the score "near" is not a number/,
    );
  });
});

describe("batches of texts", () => {
  const row = (texts: string[], score?: number): SimilarityRow => ({
    kind: "similarity",
    at: "row",
    texts,
    ...(score === undefined ? {} : { score }),
  });
  const encode = (
    rows: SimilarityRow[],
    maxLength = 4,
  ): ReturnType<typeof encodeRows<"FEATURE_EXTRACTION">> =>
    encodeRows(rows, { tokenizer, task: "FEATURE_EXTRACTION", maxLength });

  it("have all texts as rows, and say whose they are", () => {
    const { samples, report } = encode([row(["a bb", "ccc"]), row(["a", "bb a ccc a a", "dddd"])]);
    expect(report).toMatchObject({ rows: 2, truncated: 1, longest: 4, tokens: 9, learntTokens: 2 });
    const batch = collate(samples, { padTokenId: 0 });
    expect(batch.inputIds.shape).toEqual([5, 4]);
    expect([...batch.rows]).toEqual([0, 0, 1, 1, 1]);
    expect([...batch.lengths]).toEqual([2, 1, 1, 4, 1]);
    expect(batch.texts).toEqual({ data: Int32Array.of(0, 1, -1, 2, 3, 4), shape: [2, 3] });
    expect(batch.labels).toBeUndefined();
    expect(preview(samples, tokenizer)).toEqual(["1-2 ~ 3", "1 ~ 2-1-3-1 | 4"]);
  });

  it("have the scores of pairs", () => {
    const { samples } = encode([row(["a", "b"], 0.25), row(["c", "d"], 1)]);
    const { labels } = collate(samples, { padTokenId: 0 });
    expect(labels).toEqual({ data: Float32Array.of(0.25, 1), shape: [2, 1] });
    expect(preview(samples, tokenizer)[0]).toBe("1 ~ 1[ (0.25)]");
  });
});
