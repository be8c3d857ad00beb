import { rowsFrom } from "../../../src/data/rows_from.js";
import { type DpoLossOptions, dpoLoss } from "../../../src/losses/dpo.js";
import type { TrainableModel } from "../../../src/peft/trainable.js";
import { DPOTrainer, type PreferenceOptions } from "../../../src/rlhf/preference_trainers.js";
import { tokenWeights } from "../../../src/rlhf/token_weights.js";
import { rowSums } from "../../../src/run/log_probs.js";
import { AutoTokenizer } from "../../../src/tokenizers/auto.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import type { Check, Numbers } from "../tensors.js";
import { completionBatch, floats, known, lengthsOf, pairsOf } from "./batches.js";
import {
  type Config,
  checkWeights,
  number,
  numeric,
  type RlhfMethod,
  type Run,
  type Variant,
} from "./variant.js";

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
  });
}

async function prepare(v: Variant): Promise<Run> {
  const { model, expected, config, file } = v;
  const plain = completionBatch(expected, `${file.batch}.`);
  const weights = tokenWeights(plain, numeric(config, "ld_alpha") ?? 1).data;
  // columns of the data then: the same numbers as the variant's own, which are compared
  for (const side of ["chosen", "rejected"]) expected.get(`${file.batch}.ref_${side}_logps`);
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
  const loss = dpoLoss({ ...dpoOptions(config), isWeighed: numeric(config, "ld_alpha") !== undefined });
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

/** The trainer's whole run, from rows: accumulation, clipping, schedule. */
async function train(v: Variant): Promise<readonly Check[]> {
  const { model, config, json: wanted } = v;
  const rows = rowsFrom(v.rows as readonly object[], { kind: "preference" });
  const tokenizer = await AutoTokenizer.fromPretrained(model.base.folder);
  const trainer = new DPOTrainer(model as unknown as TrainableModel, {
    ...{ tokenizer, rows, reference: "base", shuffle: false, ...dpoOptions(config) },
    ...trainOptions(config),
  });
  const log: Record<string, unknown>[] = [];
  for await (const event of trainer.run())
    if (event.type === "step")
      log.push({
        ...event.metrics,
        loss: event.loss,
        grad_norm: event.gradNorm,
        learning_rate: event.lr,
        step: event.step,
      });
  const checks = ((wanted["log"] ?? []) as readonly Record<string, unknown>[]).flatMap((line, i) =>
    Object.entries(line).map(([key, value]) =>
      number(`log.${key}`, Number(log[i]?.[key] ?? Number.NaN), value),
    ),
  );
  return [...checks, ...checkWeights(model, v.expected, `${v.name}.trained.`)];
}

/** TRL's config of a run as the Trainer has it. */
export function trainOptions(config: Config): Partial<PreferenceOptions> {
  const of = (key: string): number => numeric(config, key) ?? 0;
  return {
    ...{ batchSize: of("per_device_train_batch_size"), maxSteps: of("max_steps") },
    gradientAccumulationSteps: of("gradient_accumulation_steps"),
    ...{ lr: of("learning_rate"), betas: [of("adam_beta1"), of("adam_beta2")], eps: of("adam_epsilon") },
    ...{ weightDecay: of("weight_decay"), maxGradNorm: of("max_grad_norm"), warmupSteps: of("warmup_steps") },
  };
}

export const dpo: RlhfMethod = { prepare, train };
