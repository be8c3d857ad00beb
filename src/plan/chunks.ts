import type { View } from "../adapters/view.js";
import { NO_ADAPTERS } from "../adapters/view.js";
import { gradients } from "../autodiff/gradient.js";
import type { BatchColumn, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { internal } from "../errors.js";
import type { Loss } from "../losses/loss.js";
import type { Inputs, TextBatch } from "../trace/feeds.js";
import { writeLossOfVectors, writeVectors } from "../trace/write.js";
import type { BoundWeights } from "../weights/weights.js";
import { lossFeeds } from "./loss_feeds.js";
import type { RunRequest } from "./plan.js";
import { type BackwardOptions, backwardRequest, keysOf, prepare, withCustomLoss } from "./requests.js";

type Weights = Pick<BoundWeights, "spec" | "inventory">;

/**
 * The sum of vectors times a gradient that is known: its own gradient is that of the loss the gradient comes
 * from.
 */
const known: Loss = {
  name: "vectors with a gradient",
  columns: {
    gradient: { dtype: "f32", shape: ["batch", "outputs"] },
    counts: { dtype: "f32", shape: ["batch"] },
  },
  write: ({ g, vectors, column }) => ({
    sum: g.sum(g.mul(vectors(), column("gradient"))),
    count: g.sum(column("counts")),
  }),
};

/** A part of a batch's texts. */
export interface Chunk {
  readonly batch: TextBatch;
  /** The place of its first text. */
  readonly first: number;
  /** The random keys of its texts, which are those that they have in the whole batch. */
  readonly keys: HostTensor;
}

/** A batch in parts of so many texts, each as wide as its longest text. */
export function chunksOf(batch: TextBatch, size: number, options: BackwardOptions): readonly Chunk[] {
  const [texts] = batch.inputIds.shape;
  const keys = keysOf(batch, options);
  const starts = Array.from({ length: Math.ceil(texts / size) }, (_, i) => i * size);
  return starts.map((first) => {
    const end = Math.min(texts, first + size);
    const [from, to] = realColumns(batch.attentionMask, first, end);
    const cut = ({ data, shape: [, width] }: Ids): Ids => {
      const rows = Array.from({ length: end - first }, (_, i) => (first + i) * width);
      const values = rows.flatMap((start) => [...data.subarray(start + from, start + to)]);
      return { data: Int32Array.from(values), shape: [rows.length, to - from] };
    };
    const { task, inputIds, attentionMask, tokenTypeIds } = batch;
    const inputs = { task, inputIds: cut(inputIds), attentionMask: cut(attentionMask) };
    return {
      batch: tokenTypeIds === undefined ? inputs : { ...inputs, tokenTypeIds: cut(tokenTypeIds) },
      first,
      keys: { ...keys, shape: [end - first], data: (keys.data as Int32Array).slice(first, end) },
    };
  });
}

/** Columns in which one of these rows has a token. */
function realColumns({ data, shape: [, width] }: Ids, first: number, end: number): [number, number] {
  let [from, to] = [width, 0];
  for (let row = first; row < end; row++)
    for (let j = 0; j < width; j++)
      if (data[row * width + j] === 1) [from, to] = [Math.min(from, j), Math.max(to, j + 1)];
  return to === 0 ? [0, width] : [from, to];
}

/** The vectors of a part, [texts, hidden], with the dropout that its way back has. */
export function vectorsRequest(
  weights: Weights,
  view: View,
  { batch, keys }: Chunk,
  training: boolean,
): RunRequest {
  const { packed, feeds } = prepare(weights, view, batch, undefined, { keys });
  const write: RunRequest["write"] = (trace) => ({ outputs: { vectors: writeVectors(weights.spec, trace) } });
  return { kind: "vectors", view, packed, training, write, feeds };
}

/** A loss of vectors that are known, and its gradient by them. */
export function lossOfVectorsRequest(
  weights: Weights,
  batch: Inputs,
  loss: Loss,
  given: Loss | string | undefined,
  vectors: HostTensor,
): RunRequest {
  const { spec } = weights;
  const none = { input: 0, cache: 0 };
  const sizes = new Map([["batch", vectors.shape[0] ?? 0]]);
  return withCustomLoss(given, spec, {
    kind: `${loss.name} of vectors`,
    view: NO_ADAPTERS,
    write: (trace) => {
      const { sum, count, vectors: x } = writeLossOfVectors(spec, trace.g, loss);
      const [gradient = internal(`${loss.name} reads no vectors`)] = gradients(trace.g, sum, [x]);
      return { outputs: { sum, count, gradient } };
    },
    feeds: { ...lossFeeds(loss, spec, batch, none, sizes), vectors },
  });
}

/**
 * The way back of a part whose gradient by vectors is known. `count`: its share of what the loss is divided
 * by.
 */
export function chunkRequest(
  weights: Weights,
  view: View,
  { batch, keys }: Chunk,
  gradient: BatchColumn,
  count: number,
  options: BackwardOptions,
): RunRequest {
  const counts = {
    data: new Float32Array(gradient.shape[0] ?? 0).fill(count),
    shape: gradient.shape.slice(0, 1),
  };
  const columns = { gradient, counts };
  return backwardRequest(weights, view, { ...batch, columns }, { ...options, loss: known, keys });
}
