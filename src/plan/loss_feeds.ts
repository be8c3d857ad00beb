import type { BatchColumn, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { PeftError } from "../errors.js";
import type { Loss, LossColumn } from "../losses/loss.js";
import { taskOf } from "../tasks/registry.js";
import type { BatchPlaces, Inputs, Virtual } from "../trace/feeds.js";
import { ids } from "../trace/feeds.js";
import type { ModelSpec } from "../trace/write.js";
import { option, words } from "../words.js";

/** Most logits that are held at once: 32 MB. Fewer rows to a chunk would read the head too often. */
const CHUNK_LOGITS = 1 << 23;

/**
 * Feeds of a loss: the columns that it declares, as the batch has them, and where labels are. Throws "batch" for all that is missing
 * or of another form, and where all labels are masked.
 */
export function lossFeeds(
  loss: Loss,
  spec: ModelSpec,
  batch: Inputs,
  virtual: Virtual,
  places?: BatchPlaces,
): Record<string, HostTensor> {
  const sizes = sizesOf(batch);
  const faults: string[] = [];
  const found = Object.entries(loss.columns ?? {}).flatMap(([name, column]) => {
    const given = asDeclared(columnOf(batch, name), column);
    const fault = given === undefined ? `it has no ${name}` : formFault(name, column, given, sizes);
    if (fault !== undefined) faults.push(fault);
    return given === undefined || fault !== undefined ? [] : [{ name, column, given }];
  });
  const perLabel = found.filter(({ column }) => "per" in column);
  const labels = columnOf(batch, "labels") as Ids | undefined;
  if (perLabel.length > 0 && labels === undefined)
    faults.push("it has no labels, which say where the columns per label count");
  for (const { name, given } of labels === undefined ? [] : perLabel)
    if (`${given.shape}` !== `${labels?.shape}`)
      faults.push(`${name} are [${given.shape}], the labels [${labels?.shape}]`);
  if (faults.length > 0) throw unfed(loss, batch, faults);
  const feeds: Record<string, HostTensor> = {};
  for (const { name, column, given } of found)
    if ("shape" in column) feeds[name] = rowColumn(name, column, given, batch, virtual);
  checkSome(loss, feeds);
  if (perLabel.length === 0 || labels === undefined) return feeds;
  const layout = labelLayout(spec, labels, batch, virtual, places);
  feeds["labelPositions"] = layout.fill(layout.positions, 0);
  for (const { name, column, given } of perLabel) feeds[name] = layout.column(name, column.dtype, given.data);
  return feeds;
}

function columnOf(batch: Inputs, name: string): BatchColumn | undefined {
  return batch.columns?.[name] ?? (batch as unknown as Record<string, BatchColumn | undefined>)[name];
}

/** Columns that come from rows are floats: they serve as whole numbers where all of them are. */
function asDeclared(given: BatchColumn | undefined, { dtype }: LossColumn): BatchColumn | undefined {
  if (dtype !== "i64" || !(given?.data instanceof Float32Array)) return given;
  return given.data.every(Number.isInteger) ? { ...given, data: Int32Array.from(given.data) } : given;
}

function sizesOf({ inputIds, ...batch }: Inputs): Map<string, number> {
  const [rows, seq] = inputIds.shape;
  const target = (batch.decoderInputIds ?? (batch as { labels?: Ids }).labels)?.shape[1];
  return new Map([
    ["batch", rows],
    ["seq", seq],
    ...(target === undefined ? [] : [["target", target] as const]),
  ]);
}

/** What is wrong with a column; names of dimensions that are new take their length from it. */
function formFault(
  name: string,
  column: LossColumn,
  { data, shape }: BatchColumn,
  sizes: Map<string, number>,
): string | undefined {
  const isFloat = data instanceof Float32Array;
  if (!isFloat && !(data instanceof Int32Array))
    return `${name} is not { data: Float32Array or Int32Array, shape }`;
  if (isFloat !== (column.dtype === "f32"))
    return `${name} holds ${isFloat ? "floats" : "whole numbers"}, the loss declares ${column.dtype}`;
  if (!Array.isArray(shape) || shape.reduce((a, b) => a * b, 1) !== data.length)
    return `${name} holds ${data.length} numbers, its shape is [${shape}]`;
  if ("per" in column) return undefined;
  const wanted = column.shape;
  const whole = wanted.length === 1 && shape.length === 2 && shape[1] === 1 ? [shape[0]!] : shape;
  const lengths = wanted.map((d, i) => {
    if (typeof d === "string" && !sizes.has(d)) sizes.set(d, whole[i] ?? 0);
    return typeof d === "number" ? d : sizes.get(d);
  });
  if (`${lengths}` === `${whole}`) return undefined;
  return `${name} are [${shape}], the loss declares [${wanted}], which is [${lengths}] here`;
}

/** A column with its first axis the rows; places of spans that lie beyond the sequence are not learnt, as transformers has it. */
function rowColumn(
  name: string,
  { dtype, shape }: Extract<LossColumn, { shape: unknown }>,
  { data, shape: given }: BatchColumn,
  batch: Inputs,
  virtual: Virtual,
): HostTensor {
  const whole = given.slice(0, shape.length);
  if (dtype === "f32") return { dtype, shape: whole, data };
  const isSpan =
    taskOf(batch.task).labels === "span" && (name === "startPositions" || name === "endPositions");
  const length = batch.inputIds.shape[1] + virtual.input;
  const values = isSpan ? data.map((p) => (p < length ? p : -100)) : data;
  return ids(values as Int32Array, whole);
}

/** Labels of which none counts teach nothing. */
function checkSome({ columns = {} }: Loss, feeds: Readonly<Record<string, HostTensor>>): void {
  const names = ["labels", "startPositions", "endPositions"].filter(
    (name) => columns[name]?.dtype === "i64" && feeds[name] !== undefined,
  );
  if (names.length > 0 && names.every((name) => feeds[name]?.data.every((label) => label < 0)))
    throw allMasked();
}

/** Where the model predicts a labelled token, as rows of the flattened (or packed) hidden states, in chunks of bounded size. */
function labelLayout(
  { task, config }: ModelSpec,
  labels: Ids,
  batch: Inputs,
  virtual: Virtual,
  places: BatchPlaces | undefined,
): {
  positions: readonly number[];
  fill: (values: readonly number[], rest: number) => HostTensor;
  column: (name: string, dtype: "f32" | "i64", data: Float32Array | Int32Array) => HostTensor;
} {
  const [rows, columns] = labels.shape;
  const { labels: place, head } = taskOf(task);
  const isTarget = place === "target";
  const tokenAt = (isTarget ? places?.decoder : places?.input)?.tokenAt;
  const shift = place === "next token" ? 1 : 0;
  const before = isTarget ? 0 : virtual.input;
  const width = isTarget ? columns : batch.inputIds.shape[1] + virtual.input;
  const positions: number[] = [];
  const from: number[] = [];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      if (labels.data[i * columns + j]! < 0 || before + j - shift < 0) continue;
      const at = i * width + before + j - shift;
      positions.push(tokenAt === undefined ? at : tokenAt[at]!);
      from.push(i * columns + j);
    }
  if (from.length === 0) throw allMasked();
  const classes = head.outputs(config);
  const chunks = Math.ceil(from.length / Math.max(1, Math.floor(CHUNK_LOGITS / classes)));
  const chunk = Math.ceil(from.length / chunks);
  const fill = (values: readonly number[], rest: number): HostTensor => {
    const data = new Int32Array(chunks * chunk).fill(rest);
    data.set(values);
    return ids(data, [chunks, chunk]);
  };
  const column = (name: string, dtype: "f32" | "i64", data: Float32Array | Int32Array): HostTensor => {
    const values = from.map((i) => data[i]!);
    if (dtype === "i64") return fill(values, name === "labels" ? -100 : 0);
    const floats = new Float32Array(chunks * chunk);
    floats.set(values);
    return { dtype, shape: [chunks, chunk], data: floats };
  };
  return { positions, fill, column };
}

function allMasked(): PeftError {
  return new PeftError("batch", {
    what: "Every label of this batch is masked.",
    why: "there is nothing to learn: the targets were cut away or are empty.",
    fix: words`raise ${option("maxLength")}, or drop these rows: ${option("emptyLabels", "drop")}.`,
  });
}

function unfed({ name, columns }: Loss, batch: Inputs, faults: readonly string[]): PeftError {
  const there = [...Object.keys(batch), ...Object.keys(batch.columns ?? {})];
  return new PeftError("batch", {
    what: `The loss "${name}" cannot be computed on this batch: ${faults.join("; ")}.`,
    why: `it reads ${Object.keys(columns ?? {}).join(", ")}; the batch has ${there.join(", ")}.`,
    fix: "add them: { ...batch, columns: { name: { data: Float32Array.of(...), shape: [rows] } } }; labels come from rows with a target or label.",
  });
}
