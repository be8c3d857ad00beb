import { dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { LossColumn, LossContext } from "./loss.js";

/** Which row of the batch is the chosen one of a pair, and which the rejected one. */
export const pairColumns: Readonly<Record<"pairs", LossColumn>> = {
  pairs: { dtype: "i64", shape: ["pairs", 2] },
};

/** What rows have, [batch], of each pair's two: [pairs] */
export interface Pair {
  readonly chosen: Tensor;
  readonly rejected: Tensor;
}

const rowsOf = ({ g, column }: LossContext, side: 0 | 1): Tensor =>
  g.squeeze(g.slice(column("pairs"), 1, side, side + 1), 1);

export function pairOf(c: LossContext, x: Tensor): Pair {
  const { g } = c;
  return { chosen: g.gather(x, rowsOf(c, 0)), rejected: g.gather(x, rowsOf(c, 1)) };
}

/** How many pairs a batch has. */
export function countPairs({ g, column }: LossContext): Tensor {
  return g.size(dimAt(column("pairs").shape, 0));
}

/** 1 at rows that are a pair's chosen one, 0 at rejected ones: [batch] */
export function isChosen(c: LossContext): Tensor {
  const { g } = c;
  const chosen = rowsOf(c, 0);
  return g.scatterAdd(g.expand(g.scalar(1), chosen.shape), chosen, 0, "batch");
}

/** log sigmoid(x) = min(x, 0) - log(1 + exp(-|x|)) */
export function logSigmoid(g: Graph, x: Tensor): Tensor {
  return g.sub(g.min(x, 0), g.log(g.add(g.exp(g.neg(g.abs(x))), 1)));
}

/** -(1 - e) log sigmoid(x) - e log sigmoid(-x) */
export function smoothed(g: Graph, x: Tensor, e: number): Tensor {
  const right = g.mul(logSigmoid(g, x), e - 1);
  return e === 0 ? right : g.sub(right, g.mul(logSigmoid(g, g.neg(x)), e));
}

/** Of a pair's rewards, times beta, and its log-probabilities, by TRL's names. */
export function pairMetrics(
  g: Graph,
  { chosen, rejected }: Pair,
  logs: Pair,
  beta: number,
): Record<string, Tensor> {
  const mean = (x: Tensor): Tensor => g.mul(g.mean(x), beta);
  return {
    "rewards/chosen": mean(chosen),
    "rewards/rejected": mean(rejected),
    "rewards/accuracies": accuracyOf(g, { chosen, rejected }),
    "rewards/margins": mean(g.sub(chosen, rejected)),
    "logps/chosen": g.mean(logs.chosen),
    "logps/rejected": g.mean(logs.rejected),
  };
}

/** The share of pairs whose chosen one has more. */
export function accuracyOf(g: Graph, { chosen, rejected }: Pair): Tensor {
  return g.mean(g.cast(g.less(rejected, chosen), "f32"));
}
