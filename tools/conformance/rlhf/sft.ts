import type { Ids } from "../../../src/data/batch.js";
import { type SftLossOptions, sftLoss } from "../../../src/losses/sft.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import type { Expected } from "../tensors.js";
import { ids, known } from "./batches.js";
import { numeric, type RlhfMethod, type Run, type Variant } from "./variant.js";

/** Rows with labels; packed ones have positions, and documents in place of a mask. */
function sftBatch(expected: Expected, prefix: string): TextBatch<"CAUSAL_LM"> {
  const of = (name: string): Ids => ids(expected.get(`${prefix}${name}`));
  const plain = { task: "CAUSAL_LM", inputIds: of("input_ids"), labels: of("labels") } as const;
  if (!expected.has(`${prefix}position_ids`)) return { ...plain, attentionMask: of("attention_mask") };
  for (const name of ["cu_seq_lens_k", "cu_seq_lens_q"]) expected.get(prefix + name);
  const { data, shape } = of("seq_idx");
  const attentionMask = { data: data.map((document) => document + 1), shape };
  return { ...plain, attentionMask, positionIds: of("position_ids") };
}

async function prepare({ model, expected, config, file }: Variant): Promise<Run> {
  const batch = sftBatch(expected, `${file.batch}.`);
  const options = { loss: config["loss_type"], smoothing: numeric(config, "label_smoothing_factor") };
  const loss = sftLoss(known<SftLossOptions>(options));
  return { pass: () => model.forwardBackward(batch, { loss, training: false }), values: async () => ({}) };
}

export const sft: RlhfMethod = { prepare };
