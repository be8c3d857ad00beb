import type { HostTensor } from "../engine/messages.js";
import type { Dim, Shape } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Input, InputSet, Lengths } from "../graph/inputs.js";
import type { CacheShape, KeyValue } from "../graph/module.js";
import type { DType, Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig } from "../models/model.js";
import { decoderInputs, textInputs } from "../models/text_inputs.js";

/** What the stack (or encoder) of a model reads. */
export function inputsOf({ architecture: { inputs }, config }: Reader): InputSet {
  const { lengths = {}, unread = [] } = config;
  if (inputs === undefined) return textInputs;
  const known = (input: Input): Input => ({
    ...input,
    shape: (at) => input.shape(at).map((d) => (typeof d === "string" ? (lengths[d] ?? d) : d)),
  });
  const read = Object.entries<Input>(inputs).filter(([key]) => !unread.includes(key));
  return Object.fromEntries(read.map(([key, input]) => [key, known(input)]));
}

interface Reader {
  readonly architecture: Architecture;
  readonly config: ModelConfig;
}

/** What the stack reads that writes text: of an encoder-decoder its decoder. */
export function writerInputs({ config }: { readonly config: ModelConfig }): typeof decoderInputs {
  return config.encoderDecoder ? decoderInputs : textInputs;
}

/** The input of a set that has this role, of those that a set has one of. */
export function inputOf(inputs: InputSet, role: "tokens" | "mask"): Input | undefined {
  return Object.values(inputs).find((input) => input.role === role);
}

export function declare(g: Graph, input: Input, at: Lengths): Tensor {
  return g.input(input.name, input.shape(at), input.dtype);
}

/** An input that no batch has: the core makes it, and feeds it by its name. */
export interface CoreInput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

export function declareCore(g: Graph, { name, shape, dtype }: CoreInput): Tensor {
  return g.input(name, shape, dtype);
}

/** An input by its name, whoever declares it. */
export type Named = Pick<CoreInput, "name" | "dtype">;

/** Numbers as the feed of an input. */
export function feedInput(
  { name, dtype }: Named,
  data: HostTensor["data"],
  shape: readonly number[],
): Record<string, HostTensor> {
  return { [name]: { dtype, shape, data } };
}

/** Keys of the random numbers of a step, one per sample. */
export const randomKey: CoreInput = { name: "randomKey", dtype: "i32", shape: ["batch"] };
/** Where the model predicts a labelled token: rows of the flattened (or packed) hidden states. */
export const labelPositions: CoreInput = {
  name: "labelPositions",
  dtype: "i64",
  shape: ["chunks", "chunk"],
};
/** Which row of the batch each of these tokens is of; where a chunk is not full, the first. */
export const labelRows: CoreInput = { ...labelPositions, name: "labelRows" };
/** An encoder's output, where it is known. */
export const encoderStates = (hidden: number): CoreInput => ({
  name: "encoderStates",
  dtype: "f32",
  shape: ["batch", "seq", hidden],
});
/** Where each row's next keys and values go in caches that have room. */
export const cachePlace: CoreInput = { name: "cachePlace", dtype: "i64", shape: ["batch"] };
/** Which row of an encoder's output each row reads. */
export const encodedRows: CoreInput = { name: "rows", dtype: "i64", shape: ["repeated"] };
/** Zeros, as many as there are rows: what tells a prefix's program how many. */
export const prefixRows: CoreInput = { name: "prefixRows", dtype: "i64", shape: ["batch"] };

/** Names of a layer's keys and values in a cache. */
export type CacheNames = { readonly [K in keyof KeyValue]: string };

/**
 * past: what a step of generation reads; present: what it leaves; cross: what an encoder left. Layer by
 * layer.
 */
export function cacheNames(kind: "past" | "present" | "cross", { layers }: CacheShape): CacheNames[] {
  return Array.from({ length: layers }, (_, i) => ({ k: `${kind}.${i}.k`, v: `${kind}.${i}.v` }));
}

/** Shape of one of the layers' keys and values in turn: [rows, kvHeads, length, headDim]. */
export function cachedShape<D extends Dim>(
  cache: CacheShape,
  index: number,
  rows: D,
  length: D,
): (D | number)[] {
  const { kvHeads, headDim, valueDim = headDim } = cache.each?.[Math.floor(index / 2)] ?? cache;
  return [rows, kvHeads, length, index % 2 === 0 ? headDim : valueDim];
}

/** Declares each layer's keys and values. */
export function declareCached(
  g: Graph,
  kind: Parameters<typeof cacheNames>[0],
  cache: CacheShape,
  rows: Dim,
  length: Dim,
): KeyValue[] {
  return cacheNames(kind, cache).map(({ k, v }, i) => {
    const shape = (part: 0 | 1): Dim[] => cachedShape(cache, 2 * i + part, rows, length);
    return { k: g.input(k, shape(0)), v: g.input(v, shape(1)) };
  });
}
