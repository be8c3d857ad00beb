import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { labelColumn, labelledLogProbs, sumByRow } from "./log_probs.js";
import type { Loss, LossColumn } from "./loss.js";
import { byLabel, labelledRowMetrics } from "./unpaired.js";

/** What KTO's losses are told. */
export interface KtoLossOptions {
  /** "apo_zero_unpaired" compares with the reference alone. @default "kto" */
  readonly loss?: "kto" | "apo_zero_unpaired";
  /** How strongly the policy is held to its reference. @default 0.1 */
  readonly beta?: number;
  /** What desirable rows weigh, and the others. @default 1 each */
  readonly desirableWeight?: number;
  readonly undesirableWeight?: number;
}

/** What a batch of rows that are desirable or not says of them. */
export const unpairedColumns: Readonly<Record<"desirable" | "referenceLogProbs", LossColumn>> = {
  desirable: { dtype: "f32", shape: ["batch"] },
  referenceLogProbs: { dtype: "f32", shape: ["batch"] },
};

/**
 * Kahneman-Tversky optimization (arXiv 2402.01306), r = log p - log q, s sigmoid:
 * 1 - s(beta (r - kl)) of a desirable row, 1 - s(beta (kl - r)) of another. `kl` is a column of one number:
 * how far the policy is from its reference on completions of other prompts, made before the step. Reference:
 * trl/trainer/kto_trainer.py
 */
export function ktoLoss(options: KtoLossOptions = {}): Loss {
  const { loss = "kto", beta = 0.1, desirableWeight = 1, undesirableWeight = 1 } = options;
  const hasKl = loss === "kto";
  const each = (g: Graph, x: Tensor, desirable: Tensor): Tensor =>
    // of undesirable rows 1 - s(-x) is s(x)
    byLabel(
      g,
      desirable,
      g.mul(g.sub(1, g.sigmoid(x)), desirableWeight),
      g.mul(g.sigmoid(x), undesirableWeight),
    );
  return {
    name: "kto",
    key: JSON.stringify(options),
    columns: { ...labelColumn, ...unpairedColumns, ...(hasKl && { kl: { dtype: "f32", shape: [1] } }) },
    write: (c) => {
      const { g } = c;
      const policy = sumByRow(c, labelledLogProbs(c));
      const ratios = g.sub(policy, c.column("referenceLogProbs"));
      const kl = hasKl ? g.squeeze(c.column("kl"), 0) : undefined;
      const off = kl === undefined ? ratios : g.sub(ratios, kl);
      return {
        sum: g.sum(each(g, g.mul(off, beta), c.column("desirable"))),
        count: g.size("batch"),
        metrics: { ...labelledRowMetrics(c, g.mul(ratios, beta), policy), kl: kl ?? g.scalar(0) },
      };
    },
  };
}
