import type { BatchColumn } from "../../src/data/batch.js";
import type { Loss } from "../../src/losses/loss.js";
import { pictureTexts } from "../../src/losses/picture_texts.js";
import type { TaskType } from "../../src/models/model.js";
import type { GenerateInput } from "../../src/peft/generate.js";
import type { Inputs, TextBatch } from "../../src/trace/feeds.js";
import type { Context } from "./result.js";
import type { Expected, KitTensor, Numbers } from "./tensors.js";

type Ids = { data: Int32Array; shape: [number, number] };

function ids(t: KitTensor): Ids {
  return { data: Int32Array.from(t.data), shape: [t.shape[0]!, t.shape[1] ?? 1] };
}

function floats(t: KitTensor): { data: Float32Array; shape: [number, number] } {
  return { data: Float32Array.from(t.data), shape: [t.shape[0]!, t.shape[1] ?? 1] };
}

/** The batch under `prefix` ("input.", "second.") as the product's own inputs. */
export function batchOf(expected: Expected, prefix: string, task: TaskType): Inputs {
  const get = (name: string): KitTensor | undefined => expected.get(prefix + name);
  const tokens = get("input_ids");
  const mask = tokens === undefined ? get("attention_mask") : undefined;
  const columns = { ...columnsOf(get), ...(mask && { attentionMask: ids(mask) }) };
  if (tokens === undefined && Object.keys(columns).length === 0)
    throw new Error(`the kit has no key ${prefix}input_ids`);
  const batch: Record<string, unknown> = { task, ...(tokens && textOf(tokens, get("attention_mask"))) };
  const labels = get("labels");
  if (labels !== undefined) batch["labels"] = task === "AUDIO_FRAME_CLS" ? marked(labels) : labelsOf(labels);
  for (const [name, key] of [
    ["start_positions", "startPositions"],
    ["end_positions", "endPositions"],
    ["decoder_input_ids", "decoderInputIds"],
    ["token_type_ids", "tokenTypeIds"],
  ] as const) {
    const t = get(name);
    if (t !== undefined) batch[key] = ids(t);
  }
  return { ...batch, ...(Object.keys(columns).length > 0 && { columns }) } as unknown as Inputs;
}

function labelsOf(labels: KitTensor): Ids | ReturnType<typeof floats> {
  return labels.isInteger ? ids(labels) : floats(labels);
}

/** Marks of classes [rows, frames, classes] as the class that is marked. */
function marked({ data, shape }: KitTensor): Ids {
  const [rows = 0, frames = 0, classes = 1] = shape;
  const classOf = (i: number): number => [...data.subarray(i * classes, (i + 1) * classes)].indexOf(1);
  return { data: Int32Array.from({ length: rows * frames }, (_, i) => classOf(i)), shape: [rows, frames] };
}

/** The same of a part of a kit that is of text. */
export function textBatchOf(expected: Expected, prefix: string, task: TaskType): TextBatch {
  const batch = batchOf(expected, prefix, task);
  if (batch.inputIds === undefined) throw new Error(`the kit has no key ${prefix}input_ids`);
  return batch as TextBatch;
}

function textOf(tokens: KitTensor, mask: KitTensor | undefined): { inputIds: Ids; attentionMask: Ids } {
  const inputIds = ids(tokens);
  const ones = new Int32Array(inputIds.data.length).fill(1);
  return { inputIds, attentionMask: mask ? ids(mask) : { data: ones, shape: inputIds.shape } };
}

/** What models read beside tokens, or in their place; by the kit's names. */
const COLUMNS: Readonly<Record<string, string>> = {
  task_ids: "task_ids",
  input_type_mask: "input_type_mask",
  pixel_values: "pixelValues",
  input_features: "inputFeatures",
  input_values: "inputValues",
  bbox: "bbox",
};

function columnsOf(get: (name: string) => KitTensor | undefined): Record<string, BatchColumn> {
  const columns: Record<string, BatchColumn> = {};
  for (const [name, own] of Object.entries(COLUMNS)) {
    const t = get(name);
    if (t === undefined) continue;
    const data = t.isInteger ? Int32Array.from(t.data) : Float32Array.from(t.data);
    columns[own] = { data, shape: t.shape.length === 1 ? [...t.shape, 1] : t.shape };
  }
  return columns;
}

/** The numbers that a method reads beside a prompt, row by row. */
export function promptColumns({ columns = {} }: Inputs): GenerateInput["columns"] {
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

/** The same, and the mean square of what a pooler makes. */
const pooledLoss: Loss = {
  name: "kit pooled features",
  write: (c) => {
    const { sum, count } = featureLoss.write(c);
    return { sum: c.g.add(sum, c.g.mul(c.g.mean(c.g.square(c.logits("poolerOutput"))), count)), count };
  },
};

/** The mean square of logits, of a model whose own loss is none. */
const squareLoss: Loss = {
  name: "kit logits",
  write: ({ g, logits }) => ({ sum: g.mean(g.square(logits())), count: g.scalar(1) }),
};

/** What the kit has beside logits, and the heads that say it. */
export const NAMED: Readonly<Record<string, string>> = {
  pooler: "poolerOutput",
  image_embeds: "imageEmbeds",
  text_embeds: "textEmbeds",
  cls_logits: "clsLogits",
  distillation_logits: "distillationLogits",
};

/** The loss of a case, where the model's own is not meant. */
export function lossOption({ task, expected }: Pick<Context, "task" | "expected">): { loss?: Loss } {
  if (expected.has("base.distillation_logits")) return { loss: squareLoss };
  if (task === "IMAGE_TEXT") return { loss: pictureTexts };
  if (task !== "FEATURE_EXTRACTION") return {};
  return { loss: expected.has("base.pooler") ? pooledLoss : featureLoss };
}

/** Question answering: [batch, total, 2] -> start logits, then end logits, where the kit has them so. */
export function kitLogits(task: TaskType, { data, shape }: Numbers, wanted?: Numbers): Numbers {
  if (task !== "QUESTION_ANS" || wanted?.shape.length === 3) return { data, shape };
  const [rows, total] = shape as [number, number];
  const out = new Float64Array(rows * total * 2);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < total; j++)
      for (let k = 0; k < 2; k++) out[(i * 2 + k) * total + j] = data[(i * total + j) * 2 + k]!;
  return { data: out, shape: [rows, total * 2] };
}

/** Positions where logits count: real tokens and virtual ones. */
export function countedAt(
  batch: Inputs,
  { shape, data }: Numbers = { shape: [], data: [] },
): ((i: number) => boolean) | undefined {
  const mask = batch.attentionMask;
  if (batch.task === "SEQ_CLS" || batch.task === "SEQ_2_SEQ_LM" || mask === undefined) return undefined;
  const [rows, seq] = mask.shape;
  const isPair = batch.task === "QUESTION_ANS" && shape.length === 2;
  const total = isPair ? shape[1]! / 2 : shape[1]!;
  const width = data.length / rows / total;
  // virtual tokens stand before a row's tokens, a picture's patches behind them
  const before = batch.columns?.["pixelValues"] === undefined ? total - seq : 0;
  return (i) => {
    const row = Math.floor(i / (total * width));
    const at = isPair ? i % total : Math.floor(i / width) % total;
    return at < before || at - before >= seq || mask.data[row * seq + at - before] === 1;
  };
}

/**
 * The batch as PEFT's models hand it on: PeftModelForQuestionAnswering takes token types and does not pass
 * them to its base model, so that all of them are 0 there.
 */
export function asAdapted(batch: Inputs): Inputs {
  if (batch.task !== "QUESTION_ANS" || !("tokenTypeIds" in batch)) return batch;
  const { tokenTypeIds: _, ...rest } = batch;
  return rest as Inputs;
}
