import type { TaskType } from "../../src/models/model.js";
import type { Inputs } from "../../src/peft/feeds.js";
import type { Loss } from "../../src/peft/losses.js";
import type { KitTensor } from "./tensors.js";

type Tensors = ReadonlyMap<string, KitTensor>;

function ids(t: KitTensor): { data: Int32Array; shape: [number, number] } {
  return { data: Int32Array.from(t.data), shape: [t.shape[0]!, t.shape[1] ?? 1] };
}

/** The batch under `prefix` ("input.", "second.") as the product's own inputs. */
export function batchOf(tensors: Tensors, prefix: string, task: TaskType): Inputs {
  const get = (name: string): KitTensor | undefined => tensors.get(prefix + name);
  const inputIds = ids(get("input_ids")!);
  const mask = get("attention_mask");
  const batch: Record<string, unknown> = {
    task,
    inputIds,
    attentionMask: mask
      ? ids(mask)
      : { data: new Int32Array(inputIds.data.length).fill(1), shape: inputIds.shape },
  };
  const labels = get("labels");
  if (labels !== undefined) batch["labels"] = labels.isInteger ? ids(labels) : floats(labels);
  for (const [name, key] of [
    ["start_positions", "startPositions"],
    ["end_positions", "endPositions"],
    ["decoder_input_ids", "decoderInputIds"],
  ] as const) {
    const t = get(name);
    if (t !== undefined) batch[key] = ids(t);
  }
  return batch as unknown as Inputs;
}

function floats(t: KitTensor): { data: Float32Array; shape: [number, number] } {
  return { data: Float32Array.from(t.data), shape: [t.shape[0]!, t.shape[1] ?? 1] };
}

/** What the kit differentiates for features: the mean square of the hidden states, over real and virtual tokens. */
export const featureLoss: Loss = {
  name: "kit features",
  write: ({ g, logits, mask }) => {
    const real = g.cast(mask, "f32");
    return { sum: g.sum(g.mul(g.mean(g.square(logits()), -1), real)), count: g.sum(real) };
  },
};
