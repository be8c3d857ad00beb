import { expectArgument } from "../arguments.js";
import type { Batch, TaskType as BatchTask, Floats, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { PeftError } from "../errors.js";
import { mix } from "../random.js";
import { taskOf } from "../tasks/registry.js";
import type { Places } from "./packing.js";
import { placesOf } from "./packing.js";
import type { Inventory } from "./trace.js";
import type { ModelSpec } from "./write.js";

/** A batch without labels too, for a forward pass; encoder-decoders may name the decoder's input themselves. */
export type Inputs<T extends BatchTask = BatchTask> = Pick<Batch<T>, "task" | "inputIds" | "attentionMask"> &
  Partial<Omit<Batch<T>, "task" | "inputIds" | "attentionMask">> & {
    readonly decoderInputIds?: Ids;
  };

/** Virtual tokens of the active prompt method: before the input, or in the cache. */
export interface Virtual {
  readonly input: number;
  readonly cache: number;
}

export function ids(data: Int32Array, shape: readonly number[]): HostTensor {
  return { dtype: "i64", shape, data };
}

/** [rows, columns] with `before` columns of `value` in front. */
function padFront({ data, shape: [rows, columns] }: Ids, before: number, value: number): HostTensor {
  if (before === 0) return ids(data, [rows, columns]);
  const out = new Int32Array(rows * (before + columns)).fill(value);
  for (let i = 0; i < rows; i++)
    out.set(data.subarray(i * columns, (i + 1) * columns), i * (before + columns) + before);
  return ids(out, [rows, before + columns]);
}

/** first, first + 1, ... in every row */
export function counting(rows: number, first: number, length: number): HostTensor {
  const data = new Int32Array(rows * length);
  for (let i = 0; i < data.length; i++) data[i] = first + (i % length);
  return ids(data, [rows, length]);
}

export function filled(rows: number, columns: number, value: number): Ids {
  return { data: new Int32Array(rows * columns).fill(value), shape: [rows, columns] };
}

/** Rows of a batch. Throws "option" where it is none: an encoding, a promise of a batch. */
export function rowsOf(batch: Pick<Inputs, "inputIds">): number {
  const ids = batch?.inputIds as Partial<Ids> | readonly (readonly number[])[] | undefined;
  expectArgument("the model", batch, {
    is: ids !== undefined && "data" in ids && ids.shape?.length === 2,
    wants: "a batch",
    fix: "make batches of rows: for await (const batch of batches(rows, { tokenizer, model })) ...; generate() takes encodings.",
  });
  return batch.inputIds.shape[0];
}

/** Throws "batch" for what cannot be run, all of it at once: another task's batch, ids or labels that do not exist, wrong shapes. */
export function checkBatch(
  { spec, inventory }: { readonly spec: ModelSpec; readonly inventory: Inventory },
  batch: Inputs,
  virtual: Virtual,
  hasTaskLabels = true,
): void {
  const { vocabSize, modelType } = spec.config;
  rowsOf(batch);
  const { inputIds, attentionMask, decoderInputIds } = batch;
  const faults: string[] = [];
  if (batch.task !== spec.task) faults.push(`it is a batch for ${batch.task}, the model is for ${spec.task}`);
  for (const ids of [inputIds, decoderInputIds ?? inputIds]) {
    const beyond = ids.data.find((id) => id < 0 || id >= vocabSize);
    if (beyond !== undefined) faults.push(`token id ${beyond} is beyond the vocabulary of ${vocabSize}`);
  }
  const mask = (attentionMask as Ids | undefined)?.shape; // untyped callers may lack it
  if (mask === undefined) faults.push("it has no attentionMask (1 where there is a token)");
  else if (`${inputIds.shape}` !== `${mask}`)
    faults.push(`inputIds are [${inputIds.shape}], attentionMask [${mask}]`);
  if (inputIds.data.length === 0) faults.push("it is empty");
  const length = inputIds.shape[1] + virtual.input + virtual.cache;
  if (inventory.positions !== undefined && length > inventory.positions)
    faults.push(`it is ${length} tokens long (virtual ones included) of ${inventory.positions} positions`);
  if (batch.task === spec.task && hasTaskLabels) faults.push(...labelFaults(spec, batch));
  if (faults.length === 0) return;
  throw new PeftError("batch", {
    what: `This batch cannot be run: ${[...new Set(faults)].join("; ")}.`,
    why: `the model is a ${modelType} for ${spec.task}.`,
    fix: "make batches with this model's own tokenizer: batches(rows, { tokenizer, model }).",
  });
}

function labelFaults({ task, config }: ModelSpec, batch: Inputs): string[] {
  const { labels } = batch as { labels?: Ids | Floats };
  const { labels: place, labelForm, head } = taskOf(task);
  if (labels === undefined || place === "none") return [];
  const [rows, seq] = batch.inputIds.shape;
  const perToken = place === "token" || place === "next token";
  const isFloat = labels.data instanceof Float32Array;
  const columns = perToken ? seq : isFloat ? head.outputs(config) : labels.shape[1];
  const faults: string[] = [];
  const form = labelForm(config);
  if (isFloat && form === "ids") faults.push("labels are numbers, and the task is to tell classes apart");
  if (!isFloat && form === "floats") faults.push("labels are class numbers, and the task is to say numbers");
  if (labels.shape[0] !== rows || labels.shape[1] !== columns)
    faults.push(`labels are [${labels.shape}], not [${rows},${columns}]`);
  const classes = head.outputs(config);
  const beyond = isFloat ? undefined : labels.data.find((label) => label >= classes);
  if (beyond !== undefined) faults.push(`label ${beyond} is not one of ${classes}`);
  return faults;
}

/** Feeds of a pass over whole sequences. */
export function forwardFeeds(spec: ModelSpec, batch: Inputs, virtual: Virtual): Record<string, HostTensor> {
  const [rows, seq] = batch.inputIds.shape;
  const { encoderDecoder } = spec.config;
  const cacheHere = encoderDecoder ? 0 : virtual.cache;
  const types = "tokenTypeIds" in batch && batch.tokenTypeIds ? batch.tokenTypeIds : filled(rows, seq, 0);
  const feeds: Record<string, HostTensor> = {
    inputIds: ids(batch.inputIds.data, [rows, seq]),
    attentionMask: padFront(batch.attentionMask, virtual.input + cacheHere, 1),
    positionIds: counting(rows, cacheHere, virtual.input + seq),
    tokenTypeIds: padFront(types, virtual.input, 0),
  };
  if (!encoderDecoder) return feeds;
  const decoder = decoderInput(spec, batch);
  const target = decoder.shape[1];
  return {
    ...feeds,
    decoderInputIds: ids(decoder.data, decoder.shape),
    decoderAttentionMask: ids(filled(rows, virtual.cache + target, 1).data, [rows, virtual.cache + target]),
    decoderPositionIds: counting(rows, virtual.cache, target),
  };
}

/** Labels moved right by one, after the start token; ignored ones become padding. */
function decoderInput({ config }: ModelSpec, batch: Inputs): Ids {
  if (batch.decoderInputIds !== undefined) return batch.decoderInputIds;
  const labels = "labels" in batch ? (batch.labels as Ids | undefined) : undefined;
  if (labels === undefined)
    throw new PeftError("batch", {
      what: "This batch has neither labels nor decoderInputIds.",
      why: "an encoder-decoder needs to know what its decoder reads.",
      fix: "give labels, or decoderInputIds; to answer freely, call generate().",
    });
  const [rows, columns] = labels.shape;
  const out = filled(rows, columns, config.padTokenId ?? 0);
  for (let i = 0; i < rows; i++) {
    out.data[i * columns] = config.decoderStartTokenId ?? config.padTokenId ?? 0;
    for (let j = 1; j < columns; j++) {
      const label = labels.data[i * columns + j - 1]!;
      if (label >= 0) out.data[i * columns + j] = label;
    }
  }
  return out;
}

/** Which places of a batch are computed where padding is left out: of the input, and of an encoder-decoder's decoder. */
export interface BatchPlaces {
  readonly input: Places;
  readonly decoder: Places | undefined;
}

/**
 * Places of all tokens, and of what a label or a pooler reads though it is padding. Behind the last label nothing of a decoder
 * counts for the loss; `wholeDecoder` keeps it for its logits.
 */
export function batchPlaces(
  { task, config }: ModelSpec,
  batch: Inputs,
  virtual: Virtual,
  wholeDecoder: boolean,
): BatchPlaces {
  const [rows, seq] = batch.inputIds.shape;
  const mask = batch.attentionMask.data;
  const labels = "labels" in batch ? (batch.labels as Ids | Floats | undefined) : undefined;
  const place = taskOf(task).labels;
  const isRead = (row: number, at: number): boolean =>
    place === "row"
      ? at === 0
      : place === "next token" &&
        labels !== undefined &&
        at + 1 < seq &&
        labels.data[row * seq + at + 1]! >= 0;
  const keep = (row: number, j: number): boolean => {
    const at = j - virtual.input;
    return at < 0 || mask[row * seq + at] === 1 || isRead(row, at);
  };
  const input = placesOf(keep, rows, virtual.input + seq);
  if (!config.encoderDecoder) return { input, decoder: undefined };
  const columns = (batch.decoderInputIds ?? labels)?.shape[1] ?? 0;
  const last = (row: number): number => {
    let j = columns - 1;
    while (!wholeDecoder && j > 0 && labels !== undefined && labels.data[row * columns + j]! < 0) j--;
    return j;
  };
  const ends = Array.from({ length: rows }, (_, row) => last(row));
  return { input, decoder: placesOf((row, j) => j <= ends[row]!, rows, columns) };
}

/** Keys of the random numbers of a step: one per sample, whatever batch it is in. */
export function randomKeys(seed: number, step: number, samples: Int32Array): HostTensor {
  const start = mix(mix(seed) + step);
  return { dtype: "i32", shape: [samples.length], data: samples.map((row) => mix(start ^ mix(row + 1)) | 0) };
}
