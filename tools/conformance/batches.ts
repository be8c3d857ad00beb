import type { Loss } from "../../src/losses/loss.js";
import type { TaskType } from "../../src/models/model.js";
import type { GenerateInput } from "../../src/peft/generate.js";
import type { TextBatch } from "../../src/trace/feeds.js";
import type { Expected, KitTensor, Numbers } from "./tensors.js";

type Ids = { data: Int32Array; shape: [number, number] };

function ids(t: KitTensor): Ids {
  return { data: Int32Array.from(t.data), shape: [t.shape[0]!, t.shape[1] ?? 1] };
}

function floats(t: KitTensor): { data: Float32Array; shape: [number, number] } {
  return { data: Float32Array.from(t.data), shape: [t.shape[0]!, t.shape[1] ?? 1] };
}

/** The batch under `prefix` ("input.", "second.") as the product's own inputs. */
export function batchOf(expected: Expected, prefix: string, task: TaskType): TextBatch {
  const get = (name: string): KitTensor | undefined => expected.get(prefix + name);
  const tokens = get("input_ids");
  if (tokens === undefined) throw new Error(`the kit has no key ${prefix}input_ids`);
  const inputIds = ids(tokens);
  const mask = get("attention_mask");
  const ones = new Int32Array(inputIds.data.length).fill(1);
  const batch: Record<string, unknown> = {
    task,
    inputIds,
    attentionMask: mask ? ids(mask) : { data: ones, shape: inputIds.shape },
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
  const columns: Record<string, Ids> = {};
  for (const name of ["task_ids", "input_type_mask"]) {
    const t = get(name);
    if (t !== undefined) columns[name] = ids(t);
  }
  return { ...batch, ...(Object.keys(columns).length > 0 && { columns }) } as unknown as TextBatch;
}

/** The numbers that a method reads beside a prompt, row by row. */
export function promptColumns({ columns = {} }: TextBatch): GenerateInput["columns"] {
  const own = columns["task_ids"];
  return own && { task_ids: [...own.data] };
}

/** Rows of ids, as generation takes and gives them. */
export function rowsOf({ data, shape }: Numbers): number[][] {
  const [rows = 0, width = 0] = shape;
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: width }, (_, j) => data[i * width + j]!),
  );
}

/**
 * What the kit differentiates for features: the mean square of the hidden states, over real and virtual
 * tokens.
 */
export const featureLoss: Loss = {
  name: "kit features",
  write: ({ g, logits, mask }) => {
    const real = g.cast(mask, "f32");
    return { sum: g.sum(g.mul(g.mean(g.square(logits()), -1), real)), count: g.sum(real) };
  },
};

export function lossOption(task: TaskType): { loss?: Loss } {
  return task === "FEATURE_EXTRACTION" ? { loss: featureLoss } : {};
}

/** Question answering: [batch, total, 2] -> start logits, then end logits. */
export function kitLogits(task: TaskType, { data, shape }: Numbers): Numbers {
  if (task !== "QUESTION_ANS") return { data, shape };
  const [rows, total] = shape as [number, number];
  const out = new Float64Array(rows * total * 2);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < total; j++)
      for (let k = 0; k < 2; k++) out[(i * 2 + k) * total + j] = data[(i * total + j) * 2 + k]!;
  return { data: out, shape: [rows, total * 2] };
}

/** Positions where logits count: real tokens and virtual ones. */
export function countedAt(
  batch: TextBatch,
  { shape, data }: Numbers = { shape: [], data: [] },
): ((i: number) => boolean) | undefined {
  if (batch.task === "SEQ_CLS" || batch.task === "SEQ_2_SEQ_LM") return undefined;
  const mask = batch.attentionMask;
  const [rows, seq] = mask.shape;
  const isPair = batch.task === "QUESTION_ANS";
  const total = isPair ? shape[1]! / 2 : shape[1]!;
  const width = data.length / rows / total;
  const before = total - seq;
  return (i) => {
    const row = Math.floor(i / (total * width));
    const at = isPair ? i % total : Math.floor(i / width) % total;
    return at < before || mask.data[row * seq + at - before] === 1;
  };
}
