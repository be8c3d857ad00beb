import type { BatchColumn, Floats, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { PeftError } from "../errors.js";
import type { Loss, LossColumn } from "../losses/loss.js";
import { at } from "../present.js";
import { taskOf } from "../tasks/registry.js";
import type { BatchPlaces, Inputs, Virtual } from "../trace/feeds.js";
import { asDeclared, columnOf, formFault, ids, labelsOf } from "../trace/feeds.js";
import { labelPositions, labelRows } from "../trace/inputs.js";
import type { ModelSpec } from "../trace/write.js";
import { option, words } from "../words.js";

/** Most logits that are held at once: 32 MB. Fewer rows to a chunk would read the head too often. */
const CHUNK_LOGITS = 1 << 23;

/**
 * Feeds of a loss: the columns that it declares, as the batch has them, and where labels are. Throws "batch"
 * for all that is missing or of another form, and where all labels are masked.
 */
export function lossFeeds(
  loss: Loss,
  spec: ModelSpec,
  batch: Inputs,
  virtual: Virtual,
  sizes: Map<string, number>,
  places?: BatchPlaces,
): Record<string, HostTensor> {
  sizes.set("outputs", taskOf(spec.task).head.outputs(spec.config));
  const faults: string[] = [];
  const found = Object.entries(loss.columns ?? {}).flatMap(([name, column]) => {
    const own = columnOf(batch, name);
    const given = own && asDeclared(own, column.dtype);
    const fault = given === undefined ? `it has no ${name}` : columnFault(name, column, given, sizes);
    if (fault !== undefined) faults.push(fault);
    return given === undefined || fault !== undefined ? [] : [{ name, column, given }];
  });
  const labels = labelsOf(batch);
  const perLabel = found
    .filter(({ column }) => "per" in column)
    .map((one) => ({ ...one, given: perLabelOf(one.given, labels) }));
  if (perLabel.length > 0 && labels === undefined)
    faults.push("it has no labels, which say where the columns per label count");
  for (const { name, given } of labels === undefined ? [] : perLabel)
    if (`${given.shape}` !== `${labels?.shape}`)
      faults.push(`${name} are [${given.shape}], the labels [${labels?.shape}]`);
  if (faults.length > 0) throw unfed(loss, batch, faults);
  const feeds: Record<string, HostTensor> = {};
  const positions = (sizes.get("seq") ?? 0) + virtual.input;
  for (const { name, column, given } of found)
    if ("shape" in column) feeds[name] = rowColumn(column, given, positions);
  checkSome(loss, feeds);
  if (perLabel.length === 0 || labels === undefined) return feeds;
  const length = sizes.has("seq") ? positions : labels.shape[1]; // of a model without tokens, frames
  const layout = labelLayout(spec, labels, length, virtual, places);
  feeds[labelPositions.name] = layout.fill(layout.positions, 0);
  const [, width] = labels.shape;
  feeds[labelRows.name] = layout.fill(
    layout.from.map((i) => Math.floor(i / width)),
    0,
  );
  for (const { name, column, given } of perLabel) feeds[name] = layout.column(name, column.dtype, given.data);
  return feeds;
}

/** A column of one number per row, [rows] or [rows, 1], is that of each of the row's labels. */
function perLabelOf(given: BatchColumn, labels: Ids | Floats | undefined): BatchColumn {
  const [rows, columns] = labels?.shape ?? [0, 0];
  if (labels === undefined || given.data.length !== rows || columns === 1) return given;
  const data = new (given.data instanceof Float32Array ? Float32Array : Int32Array)(rows * columns);
  for (let row = 0; row < rows; row++) data.fill(at(given.data, row), row * columns, (row + 1) * columns);
  return { data, shape: labels.shape };
}

function columnFault(
  name: string,
  column: LossColumn,
  given: BatchColumn,
  sizes: Map<string, number>,
): string | undefined {
  return formFault(
    "the loss declares",
    name,
    "per" in column ? { ...column, shape: given.shape } : column,
    given,
    sizes,
  );
}

/**
 * A column with its first axis the rows; places that lie beyond the sequence are not learnt, as transformers
 * has it.
 */
function rowColumn(
  { dtype, shape, isPlace = false }: Extract<LossColumn, { shape: unknown }>,
  { data, shape: given }: BatchColumn,
  positions: number,
): HostTensor {
  const whole = given.slice(0, shape.length);
  if (dtype === "f32") return { dtype, shape: whole, data };
  const values = isPlace ? data.map((p) => (p < positions ? p : -100)) : data;
  return ids(values, whole);
}

/** Labels of which none counts teach nothing. */
function checkSome({ columns = {} }: Loss, feeds: Readonly<Record<string, HostTensor>>): void {
  const labels = Object.entries(columns).flatMap(([name, column]) => {
    const isLabel = name === "labels" || ("shape" in column && column.isPlace === true);
    const feed = column.dtype === "i64" && isLabel ? feeds[name] : undefined;
    return feed === undefined ? [] : [feed];
  });
  if (labels.length > 0 && labels.every(({ data }) => data.every((label) => label < 0))) throw allMasked();
}

/**
 * Where the model predicts a labelled token, as rows of the flattened (or packed) hidden states, in chunks of
 * bounded size.
 */
function labelLayout(
  { task, config }: ModelSpec,
  labels: Ids | Floats,
  length: number,
  virtual: Virtual,
  places: BatchPlaces | undefined,
): {
  positions: readonly number[];
  /** Which of the labels count, in their order. */
  from: readonly number[];
  fill: (values: readonly number[], rest: number) => HostTensor;
  column: (name: string, dtype: "f32" | "i64", data: Float32Array | Int32Array) => HostTensor;
} {
  const [, columns] = labels.shape;
  const { labels: place, head } = taskOf(task);
  const isTarget = place === "target";
  const tokenAt = (isTarget ? places?.decoder : places?.input)?.tokenAt;
  const shift = place === "next token" ? 1 : 0;
  // labels of all positions count the virtual ones too
  const ofPrompt = columns === length ? 0 : virtual.input;
  const before = isTarget ? (virtual.decoder ?? 0) : ofPrompt;
  const width = isTarget ? before + columns : length;
  const from = labelled(labels, shift - before);
  const positions = from.map((i) => {
    const place = Math.floor(i / columns) * width + before + (i % columns) - shift;
    return tokenAt === undefined ? place : at(tokenAt, place);
  });
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
    const values = from.map((i) => at(data, i));
    if (dtype === "i64") return fill(values, name === "labels" ? -100 : 0);
    const floats = new Float32Array(chunks * chunk);
    floats.set(values);
    return { dtype, shape: [chunks, chunk], data: floats };
  };
  return { positions, from, fill, column };
}

/** Which labels count, in their order; the first `skip` of a row do not: nothing stands before them. */
function labelled({ data, shape: [, columns] }: Ids | Floats, skip: number): readonly number[] {
  const all = Array.from(data.keys());
  return all.filter((i) => at(data, i) >= 0 && i % columns >= skip);
}

/** The same of a batch. Throws "batch" where it has no labels. */
export function labelledPlaces(
  { task }: ModelSpec,
  batch: Inputs,
  { input }: Pick<Virtual, "input">,
): { readonly from: readonly number[]; readonly shape: readonly [number, number] } {
  const labels = labelsOf(batch);
  if (labels === undefined)
    throw unfed({ name: "log-probabilities", columns: { labels: {} } }, batch, ["it has no labels"]);
  return {
    from: labelled(labels, taskOf(task).labels === "next token" && input === 0 ? 1 : 0),
    shape: labels.shape,
  };
}

function allMasked(): PeftError {
  return new PeftError("batch", {
    what: "Every label of this batch is masked.",
    why: "there is nothing to learn: the targets were cut away or are empty.",
    fix: words`raise ${option("maxLength")}, or drop these rows: ${option("emptyLabels", "drop")}.`,
  });
}

function unfed(
  { name, columns }: { readonly name: string; readonly columns?: object },
  batch: Inputs,
  faults: readonly string[],
): PeftError {
  const there = [...Object.keys(batch), ...Object.keys(batch.columns ?? {})];
  return new PeftError("batch", {
    what: `The loss "${name}" cannot be computed on this batch: ${faults.join("; ")}.`,
    why: `it reads ${Object.keys(columns ?? {}).join(", ")}; the batch has ${there.join(", ")}.`,
    fix: "add them: { ...batch, columns: { name: { data: Float32Array.of(...), shape: [rows] } } }; labels come from rows with a target or label.",
  });
}
