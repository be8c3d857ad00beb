import { unpairedColumns } from "./kto.js";
import { labelColumn, labelledLogProbs, sumByRow } from "./log_probs.js";
import type { Loss } from "./loss.js";
import { logSigmoid } from "./pairs.js";
import { byLabel, labelledRowMetrics } from "./unpaired.js";

/** What BCO's loss is told. */
export interface BcoLossOptions {
  /** How strongly the policy is held to its reference. @default 0.1 */
  readonly beta?: number;
  /** Rows weigh what the column `rowWeights` says. @default 1 each */
  readonly isWeighed?: boolean;
}

/**
 * Binary classifier optimization (arXiv 2404.04656), r = beta (log p - log q), ls the logarithm of sigmoid:
 * -ls(r - delta) of a desirable row, -ls(delta - r) of another. delta is the mean of all r so far: of this
 * batch, and of those before it, whose mean and number are the column `rewardsSoFar`. Reference:
 * trl/experimental/bco/bco_trainer.py
 */
export function bcoLoss(options: BcoLossOptions = {}): Loss {
  const { beta = 0.1, isWeighed = false } = options;
  return {
    name: "bco",
    key: JSON.stringify(options),
    columns: {
      ...{ ...labelColumn, ...unpairedColumns },
      rewardsSoFar: { dtype: "f32", shape: [2] },
      ...(isWeighed && { rowWeights: { dtype: "f32", shape: ["batch"] } }),
    },
    write: (c) => {
      const { g } = c;
      const policy = sumByRow(c, labelledLogProbs(c));
      const rewards = g.mul(g.sub(policy, c.column("referenceLogProbs")), beta);
      const [mean, count] = g.split(c.column("rewardsSoFar"), 0, [1, 1] as const);
      const all = g.add(g.mul(mean, count), g.sum(rewards));
      const delta = g.detach(g.squeeze(g.div(all, g.add(count, g.size("batch"))), 0));
      const x = g.sub(rewards, delta);
      const each = g.neg(byLabel(g, c.column("desirable"), logSigmoid(g, x), logSigmoid(g, g.neg(x))));
      return {
        sum: g.sum(isWeighed ? g.mul(each, c.column("rowWeights")) : each),
        count: g.size("batch"),
        metrics: { ...labelledRowMetrics(c, rewards, policy), delta },
      };
    },
  };
}
