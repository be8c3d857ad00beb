import {
  isLabelled,
  labelColumn,
  labelledLogProbs,
  meanOfTokens,
  sumByRow,
  tokenStatistic,
} from "./log_probs.js";
import type { Loss } from "./loss.js";

/** How answers teach by their advantages. Defaults are TRL's. */
export interface RlooLossOptions {
  /** How far an answer may become less likely before its gradient ends. @default 0.2 */
  readonly epsilon?: number;
  /** How far it may become likelier. @default epsilon */
  readonly epsilonHigh?: number;
  /** Logits are divided by it. @default 1 */
  readonly temperature?: number;
}

/**
 * REINFORCE with the other answers as a baseline (2402.14740): the mean over answers of
 * -min(rho A, clamp(rho) A), rho = P / P_old of the whole answer.
 * Reference: trl/trainer/rloo_trainer.py, _compute_loss
 */
export function rlooLoss({
  epsilon = 0.2,
  epsilonHigh = epsilon,
  temperature = 1,
}: RlooLossOptions = {}): Loss {
  return {
    name: "rloo",
    key: `rloo ${epsilon} ${epsilonHigh} ${temperature}`,
    columns: {
      ...labelColumn,
      oldLogProbs: { dtype: "f32", per: "label" },
      rowAdvantages: { dtype: "f32", shape: ["batch"] },
    },
    write: (c) => {
      const { g, column } = c;
      const change = g.sub(labelledLogProbs(c, { temperature }), column("oldLogProbs"));
      const ratio = g.exp(sumByRow(c, g.mul(change, isLabelled(c)))); // [batch]
      const advantages = column("rowAdvantages");
      const clipped = g.min(g.max(ratio, 1 - epsilon), 1 + epsilonHigh);
      const loss = g.neg(g.mean(g.min(g.mul(ratio, advantages), g.mul(clipped, advantages))));
      const low = g.cast(g.and(g.less(ratio, 1 - epsilon), g.less(advantages, 0)), "f32");
      const high = g.cast(g.and(g.less(1 + epsilonHigh, ratio), g.less(0, advantages)), "f32");
      return {
        sum: loss,
        count: g.scalar(1),
        metrics: {
          entropy: meanOfTokens(c, tokenStatistic(c, "entropy", { temperature })),
          "clip_ratio/low_mean": g.mean(low),
          "clip_ratio/low_min": g.neg(g.amax(g.neg(low))),
          "clip_ratio/high_mean": g.mean(high),
          "clip_ratio/high_max": g.amax(high),
          "clip_ratio/region_mean": g.mean(g.add(low, high)),
        },
      };
    },
  };
}
