import type { BatchColumn, Floats, Ids } from "../../data/batch.js";
import { PeftError } from "../../errors.js";
import { dimNames, evalDim } from "../../graph/dims.js";
import type { Input } from "../../graph/inputs.js";
import { filled } from "../../graph/inputs.js";
import { taskOf } from "../../tasks/registry.js";
import type { ColumnBatch } from "../../trace/feeds.js";
import { inputsOf } from "../../trace/inputs.js";
import type { ModelSpec } from "../../trace/write.js";

/** Sizes of a batch: rows, tokens of each, and where tokens have labels, how many of a row. */
export interface BatchSizes {
  readonly batch: number;
  /** Tokens of the longest row. Default: the model reads none. */
  readonly seq?: number;
  /** Tokens of all rows, padding apart; default: every row is as long as the longest. */
  readonly tokens?: number;
  /** Target tokens of an encoder-decoder's row; default: seq. */
  readonly target?: number;
  /** Labelled tokens of a row; default: all. */
  readonly labels?: number;
  /** Lengths of the dimensions that inputs of other kinds name: height and width of pixels. */
  readonly dims?: Readonly<Record<string, number>>;
}

/** A batch of these sizes: the most that one can take. */
export function fakeBatch(spec: ModelSpec, sizes: BatchSizes, ofMethods: readonly Input[] = []): ColumnBatch {
  const { task } = spec;
  const { framesOf, usualLengths } = spec.config;
  const frames = framesOf?.({ ...usualLengths, ...sizes.dims }["samples"] ?? 0);
  const { batch, seq = frames ?? 0, target = seq } = sizes;
  // Equal letters need a blank between them: no more of these fit into frames.
  const most = frames === undefined ? target : Math.max(1, Math.floor(frames / 2));
  const common = { columns: fakeColumns([...Object.values(inputsOf(spec)), ...ofMethods], spec, sizes) };
  switch (taskOf(task).labels) {
    case "token":
    case "next token":
      return { task, ...common, labels: lastOnes(batch, seq, sizes.labels ?? seq) };
    case "target":
      return { task, ...common, labels: ids(batch, Math.min(target, most), 1) };
    case "row":
      return { task, ...common, labels: classes(spec, batch) };
    case "span": {
      const places = ids(batch, 1);
      const spans = { task, ...common, startPositions: places, endPositions: places };
      return spans;
    }
    case "none": {
      const vectors = { task, ...common, texts: pairs(batch) };
      return vectors;
    }
  }
}

/** What is read, of these sizes. Throws "option" for a dimension whose length is not among them. */
export function fakeColumns(
  inputs: readonly Input[],
  spec: ModelSpec,
  sizes: BatchSizes,
): Record<string, BatchColumn> {
  const { batch, seq = 0, dims = {} } = sizes;
  const lengths = new Map(Object.entries({ ...spec.config.usualLengths, ...dims }));
  const fake = (input: Input): BatchColumn => {
    const shape = input.shape({ batch, length: seq, virtual: 0, past: 0 });
    const missing = shape.flatMap(dimNames).find((name) => !lengths.has(name));
    if (missing !== undefined) throw missingSize(spec, input, missing);
    const numbers = shape.map((dim) => evalDim(dim, lengths));
    if (input.role === "mask") return maskOf(sizes);
    if (input.dtype === "i64") return filled(numbers, input.role === "tokens" ? 1 : 0);
    return { data: new Float32Array(filled(numbers, 0).data.length), shape: numbers };
  };
  const columns: Record<string, BatchColumn> = {};
  for (const input of inputs) {
    const own = input.read?.((name) => columns[name], spec.config); // what others say already
    if (own === undefined) columns[input.name] = fake(input);
  }
  return columns;
}

function missingSize({ config }: ModelSpec, { name }: Input, dim: string): PeftError {
  return new PeftError("option", {
    what: `The sizes of a batch do not say its "${dim}".`,
    why: `a ${config.modelType} model reads ${name}, which differ in it from batch to batch.`,
    fix: `add it: dims: { ${dim}: 32 }.`,
  });
}

/** The first row as long as can be, the others alike, padded on the left. */
function maskOf({ batch, seq = 0, tokens = batch * seq }: BatchSizes): BatchColumn {
  const mask = filled([batch, seq], 1);
  const others = Math.ceil((tokens - seq) / Math.max(1, batch - 1));
  for (let row = 1; row < batch; row++) mask.data.fill(0, row * seq, (row + 1) * seq - others);
  return mask;
}

function lastOnes(rows: number, columns: number, labelled: number): Ids {
  const labels = ids(rows, columns);
  for (let i = 0; i < labels.data.length; i++) if (i % columns < columns - labelled) labels.data[i] = -100;
  return labels;
}

function classes({ config, task }: Pick<ModelSpec, "task" | "config">, rows: number): Ids | Floats {
  if (taskOf(task).labelForm(config) !== "floats") return ids(rows, 1);
  const columns = taskOf(task).head.outputs(config);
  return { data: new Float32Array(rows * columns), shape: [rows, columns] };
}

/** Texts two by two, for the losses of vectors. */
function pairs(texts: number): Ids {
  const rows = Math.ceil(texts / 2);
  return { data: Int32Array.from({ length: 2 * rows }, (_, i) => i % texts), shape: [rows, 2] };
}

function ids(rows: number, columns: number, value = 0): Ids {
  return { data: new Int32Array(rows * columns).fill(value), shape: [rows, columns] };
}
