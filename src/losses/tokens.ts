import type { Tensor } from "../graph/ops.js";
import type { Loss, LossContext } from "./loss.js";
import { countOf } from "./loss.js";

/** Options of the losses over labels. */
export interface LabelLossOptions {
  /** Share of each label that goes to all of them, below 1 (arXiv 1512.00567). @default 0 */
  readonly smoothing?: number;
  /** A column with a weight for each row. @default all weigh alike */
  readonly weights?: string;
}

/** The sum of what each label costs, and what it is divided by: the labels that count, or their weights. */
export function weighed(
  { g, column }: LossContext,
  labels: Tensor,
  each: Tensor,
  weights: string | undefined,
): ReturnType<Loss["write"]> {
  if (weights === undefined) return { sum: g.sum(each), count: countOf(g, labels) };
  const w = g.mul(column(weights), g.cast(g.lessEqual(0, labels), "f32"));
  return { sum: g.sum(g.mul(each, w)), count: g.sum(w) };
}

/** Cross-entropy over the labelled tokens; the head is computed only there. */
export function tokensLoss({ smoothing = 0, weights }: LabelLossOptions = {}): Loss {
  return {
    name: "tokens",
    columns: {
      labels: { dtype: "i64", per: "label" },
      ...(weights === undefined ? {} : { [weights]: { dtype: "f32", per: "label" } }),
    },
    write: (c) => {
      const labels = c.column("labels");
      return weighed(c, labels, c.g.crossEntropy(c.labelled(), labels, smoothing), weights);
    },
  };
}

export const tokens: Loss = tokensLoss();
