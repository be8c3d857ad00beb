import type { PartData } from "../../engine/formats/format.js";
import type { FormatName } from "../../engine/formats/index.js";
import { PeftError } from "../../errors.js";
import type { Checkpoint, StoredTensor } from "../../hub/checkpoint.js";

/** A weight that a checkpoint stores as codes and scales, in several tensors. */
export interface PackedWeight {
  /** As a plain checkpoint would name it. */
  readonly name: string;
  /** What it is packed with, for people: "bitsandbytes nf4". */
  readonly scheme: string;
  /** [out, in]: so also where the model holds it [in, out]; or a stack of these. */
  readonly shape: readonly number[];
  /** What it is made of. */
  readonly tensors: readonly StoredTensor[];
  /** Its numbers, [out, in]. */
  readonly values: () => Promise<Float32Array>;
  /** A format of the engine that holds the same numbers to the bit, and its parts. */
  readonly exact?: Exact | undefined;
}

export interface Exact {
  readonly format: FormatName;
  readonly parts: () => Promise<Readonly<Record<string, PartData>>>;
}

/** The tensors of one layer, by what follows its path: "weight", "weight.absmax", "qweight". */
export interface Layer {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly checkpoint: Checkpoint;
  /** config.json's quantization_config, or {}. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** One way to pack weights. */
export interface Packing {
  /**
   * The ending of the tensor by which a layer of this kind is known; its first group, if any, is handed on.
   */
  readonly sign: RegExp;
  /** undefined: it is of another kind. Throws "checkpoint" where it is of this kind and cannot be read. */
  open(layer: Layer, kind: string): Promise<PackedWeight | undefined> | PackedWeight | undefined;
}

/** A tensor of a layer. Throws "checkpoint" where it is absent. */
export function tensorOf(layer: Layer, ending: string, scheme: string): StoredTensor {
  return layer.tensors.get(ending) ?? refusePacked(layer.path, scheme, `its tensor ${ending} is missing`);
}

/** Numbers of `bits` in words of 32, the lowest bits first. */
export async function unpackWords(layer: Layer, tensor: StoredTensor, bits: number): Promise<Uint8Array> {
  const bytes = await layer.checkpoint.read(tensor.name);
  const words = new Uint32Array(bytes.slice().buffer);
  const each = 32 / bits;
  const out = new Uint8Array(words.length * each);
  const mask = 2 ** bits - 1;
  for (let w = 0, at = 0; w < words.length; w++)
    for (let k = 0; k < each; k++, at++) out[at] = (words[w]! >>> (k * bits)) & mask;
  return out;
}

/**
 * Codes [rows, columns] as they lie in memory, and the scale of each block: those of a block of rows follow
 * one another.
 */
export interface Grid {
  readonly codes: { readonly [i: number]: number };
  readonly shape: readonly [number, number];
  /** [row blocks, column blocks] */
  readonly scale: Float32Array;
  /** What is taken from the codes, as `scale` lies. */
  readonly zero?: Float32Array | undefined;
  /** Rows of a block. */
  readonly height: number;
  /** Columns of a block, or each column's block. */
  readonly width: number | ArrayLike<number>;
}

/** (codes - zero) scale, [rows, columns]. */
export function scaled({ codes, shape: [rows, columns], scale, zero, height, width }: Grid): Float32Array {
  const block =
    typeof width === "number" ? Int32Array.from({ length: columns }, (_, j) => Math.floor(j / width)) : width;
  const across = scale.length / Math.ceil(rows / height);
  const out = new Float32Array(rows * columns);
  for (let i = 0, at = 0; i < rows; i++) {
    const first = Math.floor(i / height) * across;
    for (let j = 0; j < columns; j++, at++) {
      const b = first + block[j]!;
      out[at] = (codes[at]! - (zero?.[b] ?? 0)) * scale[b]!;
    }
  }
  return out;
}

/** [rows, columns] -> [columns, rows] */
export function turned<T extends Float32Array | Uint8Array | Int8Array>(
  x: T,
  rows: number,
  columns: number,
): T {
  const out = x.slice() as T;
  for (let i = 0, at = 0; i < rows; i++) for (let j = 0; j < columns; j++, at++) out[j * rows + i] = x[at]!;
  return out;
}

/** The two sizes of a matrix. */
export function matrix(shape: readonly number[]): readonly [number, number] | undefined {
  const [rows, columns, ...more] = shape;
  return rows === undefined || columns === undefined || more.length > 0 ? undefined : [rows, columns];
}

/** Why a quantized checkpoint is not read. */
export function refusePacked(path: string, scheme: string, why: string): never {
  throw new PeftError("checkpoint", {
    what: `This checkpoint is quantized (${scheme}), and "${path}" cannot be read.`,
    why: `${why}.`,
    fix: 'use the model as it was before (its card names it), and hold it in 4 bits here: load: "nf4", or --load-in nf4.',
  });
}
