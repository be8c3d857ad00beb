import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { atLabelled, isLabelled, meanOfTokens, tokenStatistic } from "./log_probs.js";
import type { LossContext } from "./loss.js";

/** The one of desirable rows (1), the other of the rest (0). */
export function byLabel(g: Graph, desirable: Tensor, one: Tensor, other: Tensor): Tensor {
  return g.where(g.less(0.5, desirable), one, other);
}

/** What to know of rows that are desirable ("chosen") or not ("rejected"), by TRL's names. */
export function labelledRowMetrics(c: LossContext, rewards: Tensor, policy: Tensor): Record<string, Tensor> {
  const { g } = c;
  const chosen = c.column("desirable");
  const rejected = g.sub(1, chosen);
  const mean = (x: Tensor, rows: Tensor): Tensor => g.div(g.sum(g.mul(x, rows)), g.sum(rows));
  const logits = (rows: Tensor): Tensor =>
    meanOfTokens(c, tokenStatistic(c, "meanLogit"), g.mul(isLabelled(c), atLabelled(c, rows)));
  const [ofChosen, ofRejected] = [mean(rewards, chosen), mean(rewards, rejected)];
  return {
    "rewards/chosen": ofChosen,
    "rewards/rejected": ofRejected,
    "rewards/margins": g.sub(ofChosen, ofRejected),
    "logps/chosen": mean(policy, chosen),
    "logps/rejected": mean(policy, rejected),
    "logits/chosen": logits(chosen),
    "logits/rejected": logits(rejected),
    entropy: meanOfTokens(c, tokenStatistic(c, "entropy")),
  };
}
