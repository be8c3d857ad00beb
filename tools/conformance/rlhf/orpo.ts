import type { Ids } from "../../../src/data/batch.js";
import { type CpoLossOptions, cpoLoss } from "../../../src/losses/cpo.js";
import type { Loss } from "../../../src/losses/loss.js";
import { type OrpoLossOptions, orpoLoss } from "../../../src/losses/orpo.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import type { Expected } from "../tensors.js";
import { floats, ids, known, pairsOf, stacked } from "./batches.js";
import { type Config, numeric, type RlhfMethod, type Run, type Variant } from "./variant.js";

type PairBatch = TextBatch<"CAUSAL_LM"> | TextBatch<"SEQ_2_SEQ_LM">;

/** Pairs of a decoder, or of an encoder-decoder: chosen rows first. `prompts`: chosen prompts are learnt too. */
function pairBatch(expected: Expected, prefix: string, prompts: boolean): PairBatch {
  const of = (name: string): Ids => ids(expected.get(`${prefix}${name}`));
  const both = (name: string, fill: number): Ids =>
    stacked(of(`chosen_${name}`), of(`rejected_${name}`), fill);
  const labels = both("labels", -100);
  const [promptIds, promptMask] = [of("prompt_input_ids"), of("prompt_attention_mask")];
  const pairs = pairsOf(labels.shape[0]);
  const completion = floats(
    labels.data.map((label) => Number(label >= 0)),
    labels.shape,
  );
  if (!expected.has(`${prefix}chosen_input_ids`))
    return {
      task: "SEQ_2_SEQ_LM",
      inputIds: stacked(promptIds, promptIds, 0),
      attentionMask: stacked(promptMask, promptMask, 0),
      labels,
      columns: { pairs, completion },
    };
  const [inputIds, attentionMask] = [both("input_ids", 0), both("attention_mask", 0)];
  const isChosen = (i: number): boolean => i < labels.data.length / 2;
  const all = labels.data.map((label, i) =>
    prompts && isChosen(i) && attentionMask.data[i] === 1 ? (inputIds.data[i] ?? label) : label,
  );
  return {
    ...{ task: "CAUSAL_LM", inputIds, attentionMask, columns: { pairs, completion } },
    labels: { data: all, shape: labels.shape },
  };
}

async function prepare(v: Variant, loss: Loss, prompts: boolean, isMean: boolean): Promise<Run> {
  const { model, expected, file } = v;
  const batch = pairBatch(expected, `${file.batch}.`, prompts);
  return {
    pass: () => model.forwardBackward(batch, { loss, training: false }),
    values: async () => {
      const { data: is } = batch.columns?.["completion"] ?? floats([]);
      const { data = new Int32Array(), shape = [0, 0] as const } = batch.labels ?? {};
      const labels = { data: data.map((label, i) => (is[i] === 1 ? label : -100)), shape };
      const { sums, counts } = await model.logProbs({ ...batch, labels } as PairBatch);
      const logs = isMean ? sums.map((sum, row) => sum / (counts[row] ?? 1)) : sums;
      const half = logs.length / 2;
      return { chosen_logps: floats(logs.subarray(0, half)), rejected_logps: floats(logs.subarray(half)) };
    },
  };
}

function cpoOptions(config: Config): CpoLossOptions {
  return known<CpoLossOptions>({
    loss: config["loss_type"],
    beta: numeric(config, "beta"),
    labelSmoothing: numeric(config, "label_smoothing"),
    cpoAlpha: numeric(config, "cpo_alpha"),
    simpoGamma: numeric(config, "simpo_gamma"),
    alpha: numeric(config, "alpha"),
  });
}

export const orpo: RlhfMethod = {
  prepare: (v) =>
    prepare(v, orpoLoss(known<OrpoLossOptions>({ beta: numeric(v.config, "beta") })), true, true),
};
export const cpo: RlhfMethod = {
  prepare: (v) => {
    const options = cpoOptions(v.config);
    return prepare(v, cpoLoss(options), false, options.loss === "simpo" || options.loss === "ipo");
  },
};
