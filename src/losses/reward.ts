import type { Loss } from "./loss.js";
import { accuracyOf, countPairs, logSigmoid, pairColumns, pairOf } from "./pairs.js";

/** What a reward model's loss is told. */
export interface RewardLossOptions {
  /** How strongly rewards are held around 0 (arXiv 2312.09244): 0.01 is usual. @default 0 */
  readonly centerRewardsCoefficient?: number;
}

/**
 * Rewards of pairs (Bradley-Terry): mean of -log sigmoid(r(chosen) - r(rejected) - margin)
 * + k (r(chosen) + r(rejected))^2. Reference: trl/trainer/reward_trainer.py
 * @example
 * ```ts
 * import { rewardLoss, Trainer } from "peft.js";
 *
 * const loss = rewardLoss({ centerRewardsCoefficient: 0.01 });
 * const trainer = new Trainer({ model, tokenizer, train: rows, loss });
 * ```
 */
export function rewardLoss({ centerRewardsCoefficient: k = 0 }: RewardLossOptions = {}): Loss {
  return {
    name: "reward",
    key: `reward ${k}`,
    dropout: false,
    columns: { ...pairColumns, margins: { dtype: "f32", shape: ["pairs"] } },
    write: (c) => {
      const { g } = c;
      const rewards = g.squeeze(c.logits(), -1); // [batch]
      const pair = pairOf(c, rewards);
      const ahead = g.sub(pair.chosen, pair.rejected);
      const losses = g.neg(logSigmoid(g, g.sub(ahead, c.column("margins"))));
      const centred = g.mul(g.square(g.add(pair.chosen, pair.rejected)), k);
      return {
        sum: g.sum(k === 0 ? losses : g.add(losses, centred)),
        count: countPairs(c),
        metrics: {
          min_reward: g.neg(g.amax(g.neg(rewards), 0)),
          mean_reward: g.mean(rewards),
          max_reward: g.amax(rewards, 0),
          accuracy: accuracyOf(g, pair),
          margin: g.mean(ahead),
        },
      };
    },
  };
}

/** The same without centering. */
export const reward: Loss = rewardLoss();
