import type { View } from "../adapters/view.js";
import type { NamesOf } from "../arguments.js";
import type { LogProbOptions } from "../losses/log_probs.js";
import { isLabelled, labelColumn, labelledLogProbs, tokenStatistic } from "../losses/log_probs.js";
import type { Loss } from "../losses/loss.js";
import type { Inputs } from "../trace/feeds.js";
import { writeLoss } from "../trace/write.js";
import type { BoundWeights } from "../weights/weights.js";
import type { RunRequest, Written } from "./plan.js";
import { prepare } from "./requests.js";

/** How a model's log-probabilities are asked for. */
export interface LogProbsOptions extends LogProbOptions {
  /** Say the entropy at each labelled token too. @default false */
  readonly entropies?: boolean;
}

export const logProbsNames: NamesOf<LogProbsOptions> = { temperature: {}, entropies: {} };

/** Outputs of its run, [chunks, chunk]: what stands behind the last labelled token is nothing. */
export const LOG_PROBS = "logProbs";
export const ENTROPIES = "entropies";

/** What is fed is what a loss over labelled tokens reads. */
const reader: Loss = {
  name: "log-probabilities",
  columns: labelColumn,
  write: (c) => ({ sum: c.g.sum(labelledLogProbs(c)), count: c.g.sum(isLabelled(c)) }),
};

/** log p of each labelled token; dropout is off. Throws "batch" for what cannot be run. */
export function logProbsRequest(
  weights: Pick<BoundWeights, "spec" | "inventory">,
  view: View,
  batch: Inputs,
  { temperature = 1, entropies = false }: LogProbsOptions,
): RunRequest {
  const { packed, feeds } = prepare(weights, view, batch, reader);
  const write: RunRequest["write"] = (trace) => {
    const outputs: Record<string, Written["outputs"][string]> = {};
    writeLoss(weights.spec, trace, {
      ...reader,
      write: (c) => {
        outputs[LOG_PROBS] = labelledLogProbs(c, { temperature });
        if (entropies) outputs[ENTROPIES] = tokenStatistic(c, "entropy", { temperature });
        return reader.write(c);
      },
    });
    return { outputs };
  };
  return { kind: `log-probabilities ${temperature} ${entropies}`, view, packed, write, feeds };
}
