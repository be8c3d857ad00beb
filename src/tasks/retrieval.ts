import { PeftError } from "../errors.js";
import { at } from "../present.js";

/** The ranks of a query's right documents among all documents, from 1, ascending. */
export type Ranks = readonly number[];

/**
 * Where right documents stand when all are sorted by their scores, the highest first; of equal scores the
 * first one first.
 */
export function ranksOf(scores: ArrayLike<number>, relevant: Iterable<number>): Ranks {
  const all = Array.from(scores);
  const rank = (own: number): number => {
    const score = at(all, own);
    return all.reduce((n, other, i) => n + Number(other > score || (other === score && i < own)), 1);
  };
  return [...relevant].map(rank).sort((a, b) => a - b);
}

/**
 * Share of right documents that are among the first k. Reference: InformationRetrievalEvaluator of
 * sentence-transformers.
 */
export function recallAt(queries: readonly Ranks[], k: number): number {
  return meanOf(queries, (ranks) => ranks.filter((rank) => rank <= k).length / ranks.length);
}

/** 1 / rank of the first right document, 0 where it is not among the first k (MRR@k). */
export function reciprocalRankAt(queries: readonly Ranks[], k: number): number {
  return meanOf(queries, ([first = Number.POSITIVE_INFINITY]) => (first <= k ? 1 / first : 0));
}

/**
 * Sum of 1 / log2(rank + 1) of right documents among the first k, divided by the most that there can be
 * (NDCG@k).
 */
export function ndcgAt(queries: readonly Ranks[], k: number): number {
  const gain = (ranks: readonly number[]): number =>
    ranks.reduce((sum, rank) => sum + 1 / Math.log2(rank + 1), 0);
  return meanOf(queries, (ranks) => {
    const best = Array.from({ length: Math.min(k, ranks.length) }, (_, i) => i + 1);
    return gain(ranks.filter((rank) => rank <= k)) / gain(best);
  });
}

/** Mean of the precision at each right document among the first k (MAP@k). */
export function averagePrecisionAt(queries: readonly Ranks[], k: number): number {
  return meanOf(queries, (ranks) => {
    const precisions = ranks.map((rank, i) => (rank <= k ? (i + 1) / rank : 0));
    return precisions.reduce((a, b) => a + b, 0) / Math.min(k, ranks.length);
  });
}

function meanOf(queries: readonly Ranks[], of: (ranks: Ranks) => number): number {
  if (queries.length > 0 && queries.every((ranks) => ranks.length > 0))
    return queries.reduce((sum, ranks) => sum + of(ranks), 0) / queries.length;
  throw new PeftError("data", {
    what: `A metric of retrieval was given ${queries.length} queries, some of them without a right document.`,
    why: "it is a mean over queries, each with documents that are right for it.",
    fix: "leave out queries without a right document.",
  });
}
