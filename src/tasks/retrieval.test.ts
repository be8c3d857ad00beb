import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { averagePrecisionAt, ndcgAt, ranksOf, recallAt, reciprocalRankAt } from "./retrieval.js";
import type { LabelledBatch } from "./scores.js";
import { vectorScores } from "./vector_scores.js";

/** tools/golden/embeddings.py: sentence-transformers' InformationRetrievalEvaluator. */
const { retrieval } = JSON.parse(
  readFileSync(new URL("../../tests/golden/embeddings.json", import.meta.url), "utf8"),
) as {
  retrieval: {
    queries: number[][];
    corpus: number[][];
    relevant: number[][];
    metrics: Record<string, Record<string, number>>;
  };
};

it.each([
  ["recall@k", recallAt],
  ["mrr@k", reciprocalRankAt],
  ["ndcg@k", ndcgAt],
  ["map@k", averagePrecisionAt],
] as const)("%s is sentence-transformers'", (name, metric) => {
  const { queries, corpus, relevant, metrics } = retrieval;
  const ranks = queries.map((query, i) => {
    const scores = corpus.map((text) => text.reduce((sum, x, j) => sum + x * query[j]!, 0));
    return ranksOf(scores, relevant[i]!);
  });
  for (const [k, value] of Object.entries(metrics[name]!))
    expect(metric(ranks, Number(k))).toBeCloseTo(value, 12);
});

it("equal scores keep their order; a query needs a right document", () => {
  expect(ranksOf([1, 3, 3, 2], [2, 0])).toEqual([2, 4]);
  expect(() => recallAt([[]], 1)).toThrow(/\[data\].*without a right document/);
});

/** Texts of one token each, whose hidden states are these. */
function batchOf(
  vectors: number[][],
  texts: number[][],
  labels?: number[],
): [LabelledBatch, { data: Float32Array; shape: number[] }] {
  const ones = { data: new Int32Array(vectors.length).fill(1), shape: [vectors.length, 1] as const };
  const places = { data: Int32Array.from(texts.flat()), shape: [texts.length, texts[0]!.length] as const };
  const scores = labels && { data: Float32Array.from(labels), shape: [labels.length, 1] as const };
  return [
    {
      inputIds: ones,
      attentionMask: ones,
      rows: Int32Array.from(vectors.keys()),
      texts: places,
      ...(scores && { labels: scores }),
    },
    { data: Float32Array.from(vectors.flat()), shape: [vectors.length, 1, 2] },
  ];
}

it("an evaluation finds positives among all texts, and counts negatives that are farther", () => {
  const vectors = [
    [1, 0],
    [2, 0.1],
    [0, 1],
    [0, 3],
    [1, 1],
    [0, 1],
  ];
  const scores = vectorScores({ numLabels: 2 });
  const scored = scores.read(
    ...batchOf(vectors, [
      [0, 1, 2],
      [3, 4, 5],
    ]),
  );
  expect(scored.map(({ row, predicted }) => [row, predicted[0]!.toFixed(3)])).toEqual([
    [0, "0.999"],
    [3, "0.707"],
  ]);
  const found = scores.measure(scored, []);
  expect(found).toMatchObject({ recallAt1: 0.5, recallAt10: 1, tripletAccuracy: 0.5 });
  expect(found["mrrAt10"]).toBeCloseTo((1 + 1 / 3) / 2, 12);
});

it("pairs with scores are judged by correlation", () => {
  const scores = vectorScores({ numLabels: 2 });
  const scored = scores.read(
    ...batchOf(
      [
        [1, 0],
        [1, 0.2],
        [1, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ],
      [
        [0, 1],
        [2, 3],
        [4, 5],
      ],
      [0.9, 0.1, 0.5],
    ),
  );
  expect(scores.measure(scored, [])).toMatchObject({ spearman: 1 });
  expect(
    scores.read(
      { ...batchOf([[1, 0]], [[0, 0]])[0], texts: undefined as never },
      { data: new Float32Array(2), shape: [1, 1, 2] },
    ),
  ).toEqual([]);
});
