import { internal } from "../../errors.js";
import type { Element, OnnxGraph } from "../onnx/onnx.js";
import type { FormatCosts } from "./costs.js";

/** Types that parts of a weight are stored in. */
export type PartElement = Extract<Element, "f32" | "f16" | "bf16" | "i8" | "u8">;

/** One stored tensor of a weight: its values, its scales, ... */
export interface PartType {
  readonly element: PartElement;
  readonly shape: readonly number[];
}

/** A part in memory; f16 and bf16 as their bits. */
export type PartData = Float32Array | Uint16Array | Int8Array | Uint8Array;

/** A weight inside a graph. */
export interface StoredWeight {
  /** Values of its parts, by the parts' names. */
  readonly parts: Readonly<Record<string, string>>;
  /** [out, in], or [in, out] where `transposed`; embeddings, norms and biases have shapes of their own. */
  readonly shape: readonly number[];
  /** Parts of 16 bits are there as integers of the same bits: so they cross the border from JavaScript. */
  readonly asBits?: boolean;
  /** The checkpoint holds it [in, out] (GPT-2's Conv1D): tells which product is the forward one. */
  readonly transposed: boolean;
  /**
   * It is a constant of a session that may lay it out anew for its kernels (prepacking), which is good for
   * few rows.
   */
  readonly laidOut?: boolean;
}

/**
 * One way to hold a frozen weight while it is used. A format is one file: which parts it has, how its
 * products and its values are lowered, what that costs, and how it is made from f32.
 */
export interface WeightFormat {
  readonly name: string;
  readonly parts: (shape: readonly number[], transposed: boolean) => Readonly<Record<string, PartType>>;
  /** Whether it can hold a matrix of this shape; absent: any. */
  readonly fits?: (shape: readonly number[], transposed: boolean) => boolean;
  /** The whole weight in f32, of its shape. */
  readonly weight: (o: OnnxGraph, w: StoredWeight) => string;
  /**
   * x W^T, or x W where `transposed`: forward where `transposed` is the weight's own, else the gradient by
   * the input. x is [rows, n]; formats without `pack` take any number of axes before the last.
   */
  readonly linear: (o: OnnxGraph, x: string, w: StoredWeight, transposed: boolean) => string;
  /**
   * Its products as the head of a loss, where these are not `linear`'s: x is what the loop over chunks reads.
   */
  readonly head?: (o: OnnxGraph, x: string, w: StoredWeight) => ChunkedHead;
  /** Rows of an embedding by ids (i64). */
  readonly rows: (o: OnnxGraph, w: StoredWeight, ids: string) => string;
  /** What these take of memory. */
  readonly costs: FormatCosts;
  /** Its parts from f32; absent: the checkpoint's own bytes serve. */
  readonly pack?: (
    data: Float32Array,
    shape: readonly number[],
    transposed: boolean,
    options: PackOptions,
  ) => Readonly<Record<string, PartData>>;
}

/** The products of a head W [vocabulary, hidden] in the body `b` of a loop over chunks of rows. */
export interface ChunkedHead {
  /** x W^T */
  readonly logits: (b: OnnxGraph, x: string) => string;
  /** p W, of probabilities [rows, vocabulary]. */
  readonly mixed: (b: OnnxGraph, p: string) => string;
  /** W[ids], ids [rows] */
  readonly rows: (b: OnnxGraph, ids: string) => string;
}

/** A weight in the graph of a session that reads it. */
export interface BoundWeight extends StoredWeight {
  readonly format: WeightFormat;
}

/** A part as it is fed. */
export interface PartTensor extends PartType {
  readonly data: PartData;
}

export interface PackOptions {
  /**
   * Largest int8 weight: 127, or 63 where this processor's kernels saturate beyond (engine/devices/probe.ts).
   */
  readonly largest: 127 | 63;
}

/** The value of one of a weight's parts. */
export function partOf({ parts }: StoredWeight, name: string): string {
  return parts[name] ?? internal(`a weight without "${name}"`);
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

const BYTES: Readonly<Record<PartElement, number>> = { f32: 4, f16: 2, bf16: 2, i8: 1, u8: 1 };

/** Bytes of a part. */
export function partBytes({ element, shape }: PartType): number {
  return BYTES[element] * elements(shape);
}

/**
 * Formats are about matrices. A weight of three dimensions, [experts, out, in], is a stack of them: its parts
 * are those of a matrix with an axis in front.
 */
export function isStack(format: WeightFormat, shape: readonly number[]): boolean {
  return format.pack !== undefined && shape.length === 3;
}

/** The parts that a weight of this shape is stored in. */
export function partsOf(
  format: WeightFormat,
  shape: readonly number[],
  transposed: boolean,
): Readonly<Record<string, PartType>> {
  if (!isStack(format, shape)) return format.parts(shape, transposed);
  const [count = 0, ...matrix] = shape;
  const parts = Object.entries(format.parts(matrix, transposed));
  return Object.fromEntries(
    parts.map(([name, { element, shape }]) => [name, { element, shape: [count, ...shape] }]),
  );
}

/** Bytes of a weight of this shape in this format. */
export function bytesOf(format: WeightFormat, shape: readonly number[], transposed = false): number {
  return Object.values(partsOf(format, shape, transposed)).reduce((n, part) => n + partBytes(part), 0);
}

/** A product with an f32 matrix: the same bytes serve both directions. */
export function linearF32(o: OnnxGraph, x: string, w: string, transposed: boolean): string {
  return transposed ? o.node("MatMul", [x, w]) : o.contrib("FusedMatMul", [x, w], { transB: 1 });
}
