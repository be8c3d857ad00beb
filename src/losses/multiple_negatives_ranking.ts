import { axes, mulDims } from "../graph/dims.js";
import type { Tensor } from "../graph/ops.js";
import type { Loss, LossContext } from "./loss.js";
import { rowVectors, textsColumn } from "./texts.js";
import { unit } from "./vectors.js";

/** How texts of a batch are ranked. */
export interface RankingOptions {
  /** Similarities are multiplied with it: the inverse of a temperature. @default 20 */
  readonly scale?: number;
  /** What is taken for the similarity of two vectors. @default "cosine" */
  readonly similarity?: "cosine" | "dot";
  /** Anchors are told apart by their positives, too, and the two losses averaged. @default false */
  readonly symmetric?: boolean;
  /**
   * No more than so many texts are in the model at a time: batches may be larger than memory, the gradient is
   * the same (GradCache).
   * @default all of a batch
   */
  readonly chunk?: number;
}

/** What a similarity that is not there counts as. */
const NEVER = 1e9;

/**
 * Each anchor's positive is to be nearer than the positives of all other rows, and than all negatives:
 * crossEntropy(scale * similarity(anchors, candidates), own).
 * Reference: sentence_transformers/sentence_transformer/losses/multiple_negatives_ranking.py; GradCache:
 * https://arxiv.org/abs/2101.06983
 * @example
 * ```ts
 * import { multipleNegativesRankingLoss, Trainer } from "peft.js";
 *
 * const loss = multipleNegativesRankingLoss({ scale: 30, chunk: 32 });
 * const trainer = new Trainer({ model, tokenizer, train: rows, loss, batchSize: 512 });
 * ```
 */
export function multipleNegativesRankingLoss(options: RankingOptions = {}): Loss {
  const { chunk, symmetric = false } = options;
  return {
    name: symmetric ? "symmetricRanking" : "multipleNegativesRanking",
    columns: { texts: textsColumn },
    ...(chunk === undefined ? {} : { chunk }),
    write: (c) => ranking(c, options),
  };
}

function ranking(
  c: LossContext,
  { scale = 20, similarity = "cosine", symmetric = false }: RankingOptions,
): ReturnType<Loss["write"]> {
  const { g } = c;
  const { anchors, positives, candidates, isThere } = rowVectors(c);
  const [rows, each] = axes(isThere.shape, 2);
  const flat = (x: Tensor): Tensor => g.rows(similarity === "cosine" ? unit(g, x) : x); // [..., hidden] -> [n, hidden]
  const scores = (x: Tensor, y: Tensor): Tensor => g.mul(g.matmul(flat(x), flat(y), { transB: true }), scale);
  const absent = g.mul(g.sub(g.reshape(isThere, [1, mulDims(rows, each)]), 1), NEVER); // [1, candidates]
  const own = g.mul(g.iota(rows), g.size(each, "i64")); // a row's candidates stand together, its positive first
  const forward = g.sum(g.crossEntropy(g.add(scores(anchors, candidates), absent), own));
  if (!symmetric) return { sum: forward, count: g.size(rows) };
  const backward = g.sum(g.crossEntropy(scores(positives, anchors), g.iota(rows)));
  return { sum: g.mul(g.add(forward, backward), 0.5), count: g.size(rows) };
}

/** In-batch negatives, and a row's own. */
export const multipleNegativesRanking: Loss = multipleNegativesRankingLoss();

/** The same both ways. */
export const symmetricRanking: Loss = multipleNegativesRankingLoss({ symmetric: true });

/** The same for batches that memory does not hold: 32 texts at a time. */
export const cachedMultipleNegativesRanking: Loss = {
  ...multipleNegativesRankingLoss({ chunk: 32 }),
  name: "cachedMultipleNegativesRanking",
};
