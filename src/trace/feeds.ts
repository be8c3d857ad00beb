import { expectArgument } from "../arguments.js";
import type { Batch, BatchColumn, TaskType as BatchTask, Floats, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { PeftError } from "../errors.js";
import type { Shape } from "../graph/dims.js";
import type { Column, Input, InputSet, Lengths, ReadColumn, SpecialTokens } from "../graph/inputs.js";
import type { ModelConfig } from "../models/model.js";
import { decoderInputs, textInputs } from "../models/text_inputs.js";
import { at } from "../present.js";
import { mix } from "../random.js";
import { taskOf } from "../tasks/registry.js";
import { toCode } from "../words.js";
import { frameFaults } from "./frame_faults.js";
import { inputOf, inputsOf } from "./inputs.js";
import type { Places } from "./packing.js";
import { placesOf } from "./packing.js";
import type { Inventory } from "./trace.js";
import type { ModelSpec } from "./write.js";

/**
 * A batch of text, without labels too, for a forward pass; encoder-decoders may name the decoder's input
 * themselves.
 */
export type TextBatch<T extends BatchTask = BatchTask> = Pick<
  Batch<T>,
  "task" | "inputIds" | "attentionMask"
> & {
  readonly [K in Exclude<keyof Batch<T>, "task" | "inputIds" | "attentionMask">]?: Batch<T>[K] | undefined;
} & { readonly decoderInputIds?: Ids };

/**
 * A batch of a model that reads no text: what it reads instead is among the `columns`, by the names of its
 * inputs.
 */
export interface ColumnBatch<T extends BatchTask = BatchTask> {
  readonly task: T;
  readonly columns: Readonly<Record<string, BatchColumn>>;
  readonly labels?: Ids | Floats;
  /** Each sample's place in its data set, [batch]. Default: its place in the batch. */
  readonly rows?: Int32Array;
  readonly inputIds?: undefined;
  readonly attentionMask?: undefined;
}

/** What a model runs on. */
export type Inputs<T extends BatchTask = BatchTask> = TextBatch<T> | ColumnBatch<T>;

/** Virtual tokens of the active prompt method: before the input, in the cache, before a decoder's input. */
export interface Virtual {
  readonly input: number;
  readonly cache: number;
  readonly decoder?: number;
}

export function ids(data: HostTensor["data"], shape: readonly number[]): HostTensor {
  return { dtype: "i64", shape, data };
}

/** Rows of a batch. Throws "option" where it is none: an encoding, a promise of a batch. */
export function rowsOf(batch: {
  readonly inputIds?: BatchColumn | undefined;
  readonly columns?: Readonly<Record<string, BatchColumn>> | undefined;
}): number {
  const first: Partial<BatchColumn> | undefined = batch?.inputIds ?? Object.values(batch?.columns ?? {})[0];
  const rows = first?.shape?.[0];
  expectArgument("the model", batch, {
    is: rows !== undefined && first?.data !== undefined && (batch.inputIds?.shape.length ?? 2) === 2,
    wants: "a batch",
    fix: "make batches of rows: for await (const batch of batches(rows, { tokenizer, model })) ...; generate() takes encodings.",
  });
  return rows ?? 0;
}

/** A column of a batch: one of its own fields (labels), or of its `columns`. */
export function columnOf(batch: Inputs, name: string): BatchColumn | undefined {
  return batch.columns?.[name] ?? (batch as unknown as Record<string, BatchColumn | undefined>)[name];
}

/** The labels of a batch whose task has such. */
export function labelsOf(batch: Inputs): Ids | Floats | undefined {
  return "labels" in batch ? (batch.labels as Ids | Floats | undefined) : undefined;
}

/** Lengths of what a model's stack (or encoder) reads of a batch, and of what its decoder does. */
export interface BatchLengths {
  readonly stack: Lengths<number>;
  readonly decoder: Lengths<number> | undefined;
}

export function lengthsOf(spec: ModelSpec, batch: Inputs, virtual: Virtual): BatchLengths {
  const { config } = spec;
  const rows = rowsOf(batch);
  const lengthIn = (inputs: InputSet): number => {
    const tokens = inputOf(inputs, "tokens");
    return (tokens && ownOf(tokens, batch, config)?.shape[1]) ?? 0;
  };
  const past = config.encoderDecoder ? 0 : virtual.cache;
  const stack = { batch: rows, length: lengthIn(inputsOf(spec)), virtual: virtual.input, past };
  if (!config.encoderDecoder) return { stack, decoder: undefined };
  const length = lengthIn(decoderInputs);
  return { stack, decoder: { batch: rows, length, virtual: virtual.decoder ?? 0, past: virtual.cache } };
}

function ownOf(input: Input, batch: Inputs, config: ModelConfig): Column | undefined {
  return readInput(input, (name) => columnOf(batch, name), config);
}

/** What an input reads of columns. */
export function readInput(input: Input, column: ReadColumn, c: SpecialTokens): Column | undefined {
  const own = input.read === undefined ? column(input.name) : input.read(column, c);
  return own && asDeclared(own, input.dtype);
}

/** Columns that come from rows are floats: they serve as whole numbers where all of them are. */
export function asDeclared(own: BatchColumn, dtype: "f32" | "i64"): BatchColumn {
  if (dtype !== "i64" || !(own.data instanceof Float32Array) || !own.data.every(Number.isInteger)) return own;
  return { ...own, data: Int32Array.from(own.data) };
}

/**
 * Throws "batch" for what cannot be run, all of it at once: another task's batch, ids or labels that do not
 * exist, wrong shapes. Returns the lengths of all dimensions that inputs name.
 */
export function checkBatch(
  { spec, inventory }: { readonly spec: ModelSpec; readonly inventory: Inventory },
  batch: Inputs,
  virtual: Virtual,
  hasTaskLabels = true,
  ofMethods: readonly Input[] = [],
): Map<string, number> {
  const { stack, decoder } = lengthsOf(spec, batch, virtual);
  const sizes = new Map([["batch", stack.batch]]);
  if (stack.length > 0) sizes.set("seq", stack.length);
  if (decoder !== undefined && decoder.length > 0) sizes.set("target", decoder.length);
  const faults: string[] = [];
  if (batch.task !== spec.task) faults.push(`it is a batch for ${batch.task}, the model is for ${spec.task}`);
  for (const input of Object.values(inputsOf(spec)))
    faults.push(...inputFaults(input, spec.config, batch, stack, sizes));
  for (const input of Object.values(decoderInputs))
    if (decoder !== undefined) faults.push(...inputFaults(input, spec.config, batch, decoder, sizes));
  if (stack.batch === 0 || batch.inputIds?.data.length === 0) faults.push("it is empty");
  const length = positionsIn(batch, stack.length) + virtual.input + virtual.cache;
  if (inventory.positions !== undefined && length > inventory.positions)
    faults.push(`it is ${length} tokens long (virtual ones included) of ${inventory.positions} positions`);
  faults.push(...packingFaults(spec, batch, virtual), ...clipFaults(spec, batch));
  if (batch.task === spec.task && hasTaskLabels) faults.push(...labelFaults(spec, batch, stack));
  if (faults.length === 0) {
    checkColumns(spec, ofMethods, batch, sizes);
    return sizes;
  }
  throw new PeftError("batch", {
    what: `This batch cannot be run: ${[...new Set(faults)].join("; ")}.`,
    why: `the model is a ${spec.config.modelType} for ${spec.task}.`,
    fix:
      inputOf(inputsOf(spec), "tokens") === undefined
        ? `give what it reads: columns: { ${Object.values(inputsOf(spec)).map(({ name }) => `${name}: { data, shape }`)} }.`
        : "make batches with this model's own tokenizer: batches(rows, { tokenizer, model }).",
  });
}

/** Throws "batch" for a batch without what the methods of its adapters read. */
export function checkColumns(
  spec: ModelSpec,
  ofMethods: readonly Input[],
  batch: Inputs,
  sizes: Map<string, number> = new Map([["batch", rowsOf(batch)]]),
): void {
  const { stack } = lengthsOf(spec, batch, { input: 0, cache: 0 });
  const faults = ofMethods.flatMap((input) => inputFaults(input, spec.config, batch, stack, sizes));
  if (faults.length === 0) return;
  const names = ofMethods.map(({ name }) => name);
  throw new PeftError("batch", {
    what: `This batch cannot be run: ${faults.join("; ")}.`,
    why: `the adapter's method reads ${names.join(", ")} beside what the model reads.`,
    fix: toCode(
      `rows bring it as a column of that name: lossColumns: ${JSON.stringify(names)}; a batch of your own as columns: { ${names[0] ?? ""}: { data: Int32Array.of(0, ...), shape: [rows] } }.`,
      `rows bring it as a column of that name: --loss-columns ${names.join(",")}; for a prompt: --columns ${names[0] ?? ""}=0.`,
    ),
  });
}

function clipFaults({ config, task }: ModelSpec, batch: Inputs): string[] {
  const { framesOf, ctc } = config;
  if (framesOf === undefined) return [];
  const [values, heard] = [columnOf(batch, "inputValues"), columnOf(batch, "attentionMask")];
  const needsPath = ctc?.zeroInfinity === false && taskOf(task).labels === "target";
  return frameFaults({ values, heard, labels: labelsOf(batch) }, framesOf, needsPath);
}

function packingFaults(spec: ModelSpec, batch: Inputs, virtual: Virtual): string[] {
  const isPacked = maskOf(spec, batch)?.data.some((document) => document > 1) ?? false;
  const faults = {
    "a prompt's virtual tokens would stand before the first one alone": virtual.input + virtual.cache > 0,
    "this model's positions go on over all of them": spec.architecture.countsMask ?? false,
  };
  const found = Object.entries(faults).filter(([, isFault]) => isPacked && isFault);
  return found.map(([why]) => `documents are packed, and ${why}`);
}

/** Positions that a row takes: packed documents begin anew. */
function positionsIn(batch: Inputs, length: number): number {
  const positions = columnOf(batch, textInputs.positions.name);
  if (positions === undefined) return length;
  let last = -1;
  for (const position of positions.data) last = Math.max(last, position);
  return last + 1;
}

function inputFaults(
  input: Input,
  config: ModelConfig,
  batch: Inputs,
  at: Lengths<number>,
  sizes: Map<string, number>,
): string[] {
  const { name, role, dtype, means } = input;
  const none = { ...at, virtual: 0, past: 0 };
  const own = ownOf(input, batch, config);
  if (own === undefined)
    return input.feed(undefined, none) === undefined
      ? [`it has no ${name}${means ? ` (${means})` : ""}`]
      : [];
  const fault = formFault("the model reads", name, { dtype, shape: input.shape(none) }, own, sizes);
  const { vocabSize } = config;
  const ids = role === "tokens" ? columnOf(batch, name)?.data : undefined;
  const beyond = ids?.find((id) => id < 0 || id >= vocabSize);
  const { below = Number.POSITIVE_INFINITY } = input;
  const outside = input.below === undefined ? undefined : own.data.find((x) => x < 0 || x >= below);
  const more = fault === undefined ? input.fault?.(own, config) : fault;
  return [
    ...(more === undefined ? [] : [more]),
    ...(beyond === undefined ? [] : [`token id ${beyond} is beyond the vocabulary of ${vocabSize}`]),
    ...(outside === undefined ? [] : [`${name} has ${outside}, and there are ${below}`]),
  ];
}

/**
 * What is wrong with a column, by what `who` says of it; names of dimensions that are new take their length
 * from it.
 */
export function formFault(
  who: "the model reads" | "the loss declares",
  name: string,
  { dtype, shape: needed }: { readonly dtype: "f32" | "i64"; readonly shape: Shape },
  { data, shape }: BatchColumn,
  sizes: Map<string, number>,
): string | undefined {
  const isFloat = data instanceof Float32Array;
  if (!isFloat && !(data instanceof Int32Array))
    return `${name} is not { data: Float32Array or Int32Array, shape }`;
  if (isFloat !== (dtype === "f32"))
    return `${name} holds ${isFloat ? "floats" : "whole numbers"}, ${who} ${dtype}`;
  if (!Array.isArray(shape) || shape.reduce((a, b) => a * b, 1) !== data.length)
    return `${name} holds ${data.length} numbers, its shape is [${shape}]`;
  const whole = needed.length === 1 && shape.length === 2 && shape[1] === 1 ? shape.slice(0, 1) : shape;
  const lengths = needed.map((d, i) => {
    if (typeof d === "string" && !sizes.has(d)) sizes.set(d, whole[i] ?? 0);
    return typeof d === "number" ? d : sizes.get(d);
  });
  if (`${lengths}` === `${whole}`) return undefined;
  const named = needed.some((d) => typeof d === "string") ? ` as [${needed}]` : "";
  return `${name} [${shape}] is not [${lengths}], which ${who}${named}`;
}

function labelFaults(spec: ModelSpec, batch: Inputs, at: Lengths<number>): string[] {
  const { task, config } = spec;
  const labels = labelsOf(batch);
  const { labels: place, labelForm, head } = taskOf(task);
  if (labels === undefined || place === "none") return [];
  const { batch: rows } = at;
  const seq = inputOf(inputsOf(spec), "tokens") === undefined ? labels.shape[1] : at.length;
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
export function forwardFeeds(
  spec: ModelSpec,
  batch: Inputs,
  virtual: Virtual,
  ofMethods: readonly Input[] = [],
): Record<string, HostTensor> {
  const { stack, decoder } = lengthsOf(spec, batch, virtual);
  return {
    ...feedsOf(Object.values(inputsOf(spec)), spec, batch, stack),
    ...feedsOf(ofMethods, spec, batch, stack),
    ...(decoder === undefined ? {} : feedsOf(Object.values(decoderInputs), spec, batch, decoder)),
  };
}

/** Feeds of an encoder alone. */
export function encoderFeeds(spec: ModelSpec, batch: Inputs): Record<string, HostTensor> {
  const { stack } = lengthsOf(spec, batch, { input: 0, cache: 0 });
  return feedsOf(Object.values(inputsOf(spec)), spec, batch, stack);
}

function feedsOf(
  inputs: readonly Input[],
  { config }: ModelSpec,
  batch: Inputs,
  at: Lengths<number>,
): Record<string, HostTensor> {
  const feeds = inputs.flatMap((input) => {
    const column = input.feed(ownOf(input, batch, config), at);
    return column === undefined ? [] : [[input.name, { dtype: input.dtype, ...column }] as const];
  });
  return Object.fromEntries(feeds);
}

/**
 * Which places of a batch are computed where padding is left out: of the input, and of an encoder-decoder's
 * decoder.
 */
export interface BatchPlaces {
  readonly input: Places;
  readonly decoder: Places | undefined;
}

/**
 * Places of all tokens, and of what a label or a pooler reads though it is padding. Behind the last label
 * nothing of a decoder counts for the loss; `wholeDecoder` keeps it for its logits.
 */
export function batchPlaces(
  spec: ModelSpec,
  batch: Inputs,
  virtual: Virtual,
  wholeDecoder: boolean,
): BatchPlaces {
  const { task } = spec;
  const { stack, decoder } = lengthsOf(spec, batch, virtual);
  const { batch: rows, length: seq } = stack;
  const mask = maskOf(spec, batch)?.data;
  const labels = labelsOf(batch);
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
    return at < 0 || mask?.[row * seq + at] !== 0 || isRead(row, at);
  };
  const input = placesOf(keep, rows, virtual.input + seq);
  if (decoder === undefined) return { input, decoder };
  const before = virtual.decoder ?? 0;
  const columns = decoder.length;
  const last = (row: number): number => {
    let j = columns - 1;
    while (!wholeDecoder && j > 0 && labels !== undefined && labels.data[row * columns + j]! < 0) j--;
    return before + j;
  };
  const ends = Array.from({ length: rows }, (_, row) => last(row));
  return { input, decoder: placesOf((row, j) => j <= at(ends, row), rows, before + columns) };
}

/**
 * Which tokens of a batch are no padding, 1 or 0, [batch, length]; undefined: the model reads none, or all of
 * them are.
 */
export function maskOf(spec: ModelSpec, batch: Inputs): BatchColumn | undefined {
  const mask = inputOf(inputsOf(spec), "mask");
  return mask && columnOf(batch, mask.name);
}

/** Keys of the random numbers of a step: one per sample, whatever batch it is in. */
export function randomKeys(seed: number, step: number, samples: Int32Array): HostTensor {
  const start = mix(mix(seed) + step);
  const seen = new Map<number, number>(); // texts of one row differ, be they the same text
  const key = (row: number): number => {
    const times = seen.get(row) ?? 0;
    seen.set(row, times + 1);
    return mix(start ^ mix(row + 1 + Math.imul(times, 0x9e3779b1))) | 0;
  };
  return { dtype: "i32", shape: [samples.length], data: samples.map(key) };
}
