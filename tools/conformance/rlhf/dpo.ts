import { type DpoLossOptions, dpoLoss } from "../../../src/losses/dpo.js";
import { rowSums } from "../../../src/run/log_probs.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import type { Numbers } from "../tensors.js";
import { completionBatch, floats, known, lengthsOf, pairsOf } from "./batches.js";
import { type Config, numeric, type RlhfMethod, type Run, type Variant } from "./variant.js";

/** TRL's config as the loss has it. */
export function dpoOptions(config: Config): DpoLossOptions {
  const { loss_type, loss_weights, f_divergence_type } = config;
  return known<DpoLossOptions>({
    loss: loss_type,
    lossWeights: loss_weights,
    beta: numeric(config, "beta"),
    labelSmoothing: numeric(config, "label_smoothing"),
    fDivergence: f_divergence_type,
    fAlphaDivergenceCoef: numeric(config, "f_alpha_divergence_coef"),
    discopopTau: numeric(config, "discopop_tau"),
    useWeighting: config["use_weighting"],
    isWeighed: numeric(config, "ld_alpha") !== undefined,
  });
}

async function prepare(v: Variant): Promise<Run> {
  const { model, expected, config, file } = v;
  const plain = completionBatch(expected, `${file.batch}.`);
  const weights = tokenWeights(plain, numeric(config, "ld_alpha") ?? 1);
  const isCopy = v.reference !== "adapter disabled";
  const reference = isCopy
    ? await model.logProbs(plain)
    : await model.disableAdapter(() => model.logProbs(plain));
  const referenceLogProbs = rowSums(reference.tokens, weights);
  const [rows] = plain.labels?.shape ?? [0];
  const batch: TextBatch = {
    ...plain,
    columns: {
      pairs: pairsOf(rows),
      referenceLogProbs: floats(referenceLogProbs),
      completionLengths: floats(lengthsOf(plain)),
      logProbWeights: floats(weights, plain.labels?.shape),
    },
  };
  const loss = dpoLoss(dpoOptions(config));
  const halves = (name: string, sums: Float32Array): Record<string, Numbers> => ({
    [`${name}chosen_logps`]: floats(sums.subarray(0, rows / 2)),
    [`${name}rejected_logps`]: floats(sums.subarray(rows / 2)),
  });
  return {
    pass: () => model.forwardBackward(batch, { loss, training: false }),
    values: async () => ({
      ...halves("", rowSums((await model.logProbs(plain)).tokens, weights)),
      ...halves("ref_", referenceLogProbs),
    }),
  };
}

/** LD-DPO: tokens beyond the shorter completion of a pair count alpha. */
function tokenWeights({ labels }: TextBatch<"CAUSAL_LM">, alpha: number): Float32Array {
  const {
    data,
    shape: [rows, width],
  } = labels ?? { data: new Int32Array(), shape: [0, 0] };
  const isCounted = (row: number, at: number): boolean => at > 0 && (data[row * width + at] ?? -1) >= 0;
  const counts = Array.from({ length: rows }, (_, row) => {
    let n = 0;
    return Array.from({ length: width }, (_, at) => (isCounted(row, at) ? ++n : n));
  });
  const lengthOf = (row: number): number => counts[row]?.at(-1) ?? 0;
  return Float32Array.from({ length: rows * width }, (_, i) => {
    const row = Math.floor(i / width);
    const shorter = Math.min(lengthOf(row), lengthOf((row + rows / 2) % rows));
    return (counts[row]?.[i % width] ?? 0) <= shorter ? 1 : alpha;
  });
}

export const dpo: RlhfMethod = { prepare };
