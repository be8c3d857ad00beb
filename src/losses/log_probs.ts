import type { Tensor } from "../graph/ops.js";
import { isOp } from "../graph/ops.js";
import type { LossColumn, LossContext } from "./loss.js";

/** The column that every loss over log-probabilities declares. */
export const labelColumn: Readonly<Record<"labels", LossColumn>> = {
  labels: { dtype: "i64", per: "label" },
};

/** How logits become log-probabilities. */
export interface LogProbOptions {
  /** Logits are divided by it. @default 1 */
  readonly temperature?: number;
}

/** Logits of labelled tokens, by the temperature: [chunks, chunk, vocab] */
export function logitsOf(c: LossContext, { temperature = 1 }: LogProbOptions): Tensor {
  return temperature === 1 ? c.labelled() : c.g.div(c.labelled(), temperature);
}

/**
 * log p of each labelled token, [chunks, chunk]; 0 where a chunk is not full. The head is computed there
 * alone, and where it is frozen no [tokens, vocab] is ever whole.
 */
export function labelledLogProbs(c: LossContext, options: LogProbOptions = {}): Tensor {
  return c.g.neg(c.g.crossEntropy(logitsOf(c, options), c.column("labels")));
}

/** 1 at labelled tokens, 0 where a chunk is not full, [chunks, chunk] */
export function isLabelled({ g, column }: LossContext): Tensor {
  return g.cast(g.lessEqual(0, column("labels")), "f32");
}

/**
 * What labelled tokens have, [chunks, chunk], summed row by row: [batch]. Where a chunk is not full it must
 * have zeros.
 */
export function sumByRow({ g, labelRows }: LossContext, x: Tensor): Tensor {
  return g.scatterAdd(x, labelRows(), 0, "batch");
}

/** What rows have, [batch], at each of their labelled tokens: [chunks, chunk] */
export function atLabelled({ g, labelRows }: LossContext, x: Tensor): Tensor {
  return g.gather(x, labelRows());
}

/** What a distribution over the vocabulary can be asked, p = softmax(logits). */
export interface TokenStatistics {
  /** -sum p log p */
  readonly entropy: Tensor;
  /** The mean of the logits themselves. */
  readonly meanLogit: Tensor;
  /** log sum p^2 */
  readonly logSumSquares: Tensor;
  /** 1 where the label is the likeliest token. */
  readonly isRight: Tensor;
}

const RESULTS = { entropy: 2, meanLogit: 3, logSumSquares: 4, isRight: 5 } as const;

/**
 * What each labelled token's distribution says, [chunks, chunk], without a gradient; computed beside its
 * log-probability, where the head is frozen without another look at it.
 */
export function tokenStatistic(
  c: LossContext,
  name: keyof TokenStatistics,
  options: LogProbOptions = {},
): Tensor {
  const { g } = c;
  const logits = logitsOf(c, options);
  const labels = c.column("labels");
  const known = g.crossEntropy(logits, labels);
  if (isOp(known, "crossEntropy")) return g.detach(g.aux(known, RESULTS[name]));
  const logs = g.logSoftmax(logits);
  const formulas = {
    entropy: () => g.neg(g.sum(g.mul(g.exp(logs), logs), -1)),
    meanLogit: () => g.mean(logits, -1),
    logSumSquares: () => g.log(g.sum(g.exp(g.mul(logs, 2)), -1)),
    isRight: () => g.cast(g.equal(g.squeeze(g.topK(logits, 1), -1), labels), "f32"),
  };
  return g.detach(formulas[name]());
}

/** The mean of x [chunks, chunk] over labelled tokens; of those alone that `counts` says 1 of. */
export function meanOfTokens(c: LossContext, x: Tensor, counts: Tensor = isLabelled(c)): Tensor {
  return c.g.div(c.g.sum(c.g.mul(x, counts)), c.g.sum(counts));
}
