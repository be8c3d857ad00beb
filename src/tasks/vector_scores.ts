import { at } from "../present.js";
import { pearson, spearman } from "./metrics.js";
import { predictVector } from "./predict_vector.js";
import type { ModelProblem } from "./problem.js";
import { averagePrecisionAt, ndcgAt, type Ranks, ranksOf, recallAt, reciprocalRankAt } from "./retrieval.js";
import type { LabelledBatch, Logits, Scored, Scores } from "./scores.js";

/**
 * Anchors that are looked up among all texts of an evaluation; more would take minutes where there are many
 * rows.
 */
const MOST_QUERIES = 1000;

/**
 * Vectors of rows of texts: where rows have scores, the correlation of these with cosines; else how well an
 * anchor finds its positive among the positives and negatives of all rows, and how often a negative is
 * farther from it.
 */
export function vectorScores(config: ModelProblem): Scores {
  return {
    metrics: {
      ...{ spearman: "higher", pearson: "higher" },
      ...{
        recallAt1: "higher",
        recallAt10: "higher",
        mrrAt10: "higher",
        ndcgAt10: "higher",
        mapAt100: "higher",
      },
      tripletAccuracy: "higher",
    },
    from: "logits",
    read: (batch, logits) => readTexts(batch, logits, config),
    words: (values) => values.map((x) => String(Number(x.toPrecision(4)))).join(" "),
    measure: (scored) => ({ ...correlations(scored), ...retrieval(scored) }),
  };
}

function readTexts(
  { rows, texts, labels, inputIds, attentionMask }: LabelledBatch,
  { data, shape }: Logits,
  config: ModelProblem,
): Scored[] {
  if (texts === undefined) return [];
  const [, total = 0, outputs = 0] = shape;
  const seq = inputIds.shape[1];
  const vectorOf = (text: number): Float32Array => {
    const isReal = (j: number): boolean =>
      j < total - seq || attentionMask.data[text * seq + j - (total - seq)] === 1;
    const tokens = Array.from({ length: total }, (_, j) => j).filter(isReal);
    const logits = new Float32Array(tokens.length * outputs);
    for (const [i, j] of tokens.entries()) {
      const start = (text * total + j) * outputs;
      logits.set(data.subarray(start, start + outputs), i * outputs);
    }
    return predictVector({ logits, outputs, config }, { normalize: true }).vector;
  };
  const [samples, width] = texts.shape;
  return Array.from({ length: samples }, (_, sample) => {
    const places = [...texts.data.subarray(sample * width, (sample + 1) * width)].filter((i) => i >= 0);
    const vectors = places.map(vectorOf);
    const actual = labels === undefined ? [] : [at(labels.data, sample)];
    return {
      row: at(rows, at(places, 0)),
      predicted: [dot(at(vectors, 0), at(vectors, 1))],
      actual,
      vectors,
    };
  });
}

function correlations(scored: readonly Scored[]): Record<string, number> {
  const pairs = scored.filter(({ actual }) => actual.length > 0);
  if (pairs.length === 0) return {};
  const [predicted, actual] = [pairs.flatMap((s) => s.predicted), pairs.flatMap((s) => s.actual)];
  return { spearman: spearman(predicted, actual), pearson: pearson(predicted, actual) };
}

function retrieval(scored: readonly Scored[]): Record<string, number> {
  const rows = scored.flatMap(({ actual, vectors = [] }) =>
    actual.length === 0 && vectors.length > 1 ? [vectors] : [],
  );
  if (rows.length === 0) return {};
  const corpus = rows.flatMap((vectors) => vectors.slice(1));
  const every = Math.ceil(rows.length / MOST_QUERIES);
  const queries: Ranks[] = [];
  const isNearer: boolean[] = [];
  let own = 0;
  for (const [i, [anchor = new Float32Array(), positive = anchor, ...negatives]] of rows.entries()) {
    const near = dot(anchor, positive);
    isNearer.push(...negatives.map((negative) => near > dot(anchor, negative)));
    if (i % every === 0)
      queries.push(
        ranksOf(
          corpus.map((text) => dot(anchor, text)),
          [own],
        ),
      );
    own += 1 + negatives.length;
  }
  return {
    recallAt1: recallAt(queries, 1),
    recallAt10: recallAt(queries, 10),
    mrrAt10: reciprocalRankAt(queries, 10),
    ndcgAt10: ndcgAt(queries, 10),
    mapAt100: averagePrecisionAt(queries, 100),
    ...(isNearer.length === 0 ? {} : { tripletAccuracy: isNearer.filter(Boolean).length / isNearer.length }),
  };
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += at(a, i) * at(b, i);
  return sum;
}
