import { isLabelled, labelColumn, labelledLogProbs, meanOfTokens, tokenStatistic } from "./log_probs.js";
import type { Loss } from "./loss.js";

/** What the losses of supervised fine-tuning are told. */
export interface SftLossOptions {
  /** "dft": each token's loss times its probability (arXiv 2508.05629). @default "nll" */
  readonly loss?: "nll" | "dft";
  /** Share of each label that goes to all of them, below 1. @default 0 */
  readonly smoothing?: number;
}

/**
 * Cross-entropy over labelled tokens, as `tokens`, which also says how sure and how right the model is.
 * Reference: trl/trainer/sft_trainer.py
 */
export function sftLoss(options: SftLossOptions = {}): Loss {
  const { loss = "nll", smoothing = 0 } = options;
  return {
    name: "sft",
    key: JSON.stringify(options),
    columns: labelColumn,
    write: (c) => {
      const { g } = c;
      const logs = labelledLogProbs(c);
      const each =
        smoothing === 0 ? g.neg(logs) : g.crossEntropy(c.labelled(), c.column("labels"), smoothing);
      return {
        sum: g.sum(loss === "dft" ? g.mul(each, g.detach(g.exp(logs))) : each),
        count: g.sum(isLabelled(c)),
        metrics: {
          entropy: meanOfTokens(c, tokenStatistic(c, "entropy")),
          mean_token_accuracy: meanOfTokens(c, tokenStatistic(c, "isRight")),
        },
      };
    },
  };
}
