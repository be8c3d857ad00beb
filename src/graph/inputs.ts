import type { Dim, Shape } from "./dims.js";
import { addDims } from "./dims.js";

/** Numbers of a batch; the first axis is the rows. */
export interface Column {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** A batch as inputs see it: a column by its name; undefined: the batch has none. */
export type ReadColumn = (name: string) => Column | undefined;

/** Lengths of what a stack reads: names in a graph, numbers in a batch. */
export interface Lengths<D extends Dim = Dim> {
  readonly batch: D;
  /** Tokens that are fed. */
  readonly length: D;
  /** Virtual tokens before them, of prompt methods. */
  readonly virtual: D;
  /** Tokens before those that a cache holds: of a prefix, or of earlier steps of generation. */
  readonly past: D;
}

/** Ids of a model's config that its inputs may need. */
export interface SpecialTokens {
  readonly padTokenId: number | undefined;
  readonly decoderStartTokenId: number | undefined;
  readonly startsWithLastLabel?: boolean;
  /** Coordinates of boxes are below this. */
  readonly boxPositions?: number | undefined;
}

/**
 * What shared code does with an input.
 * - tokens: ids of what a stack reads, [batch, length]. Their padding is left out of everything but
 *   attention, and caches go on
 *   behind them.
 * - mask: 1 where there is a token, 0 at padding, [batch, past + virtual + length].
 * - token: numbers beside each token, [batch, virtual + length, ...]: positions, boxes. In generation those
 *   of the new tokens.
 * - row: numbers of a row as a whole, [batch, ...]: pixels, sound features, latents, a timestep. Nothing of
 *   it is packed or cached.
 */
export type Role = "tokens" | "mask" | "token" | "row";

/** An input of a model: the one place that knows its name, its form, and how it is fed. */
export interface Input {
  /** In a batch (a field of it, or one of its `columns`) and in a graph. */
  readonly name: string;
  readonly role: Role;
  readonly dtype: "f32" | "i64";
  readonly shape: (at: Lengths) => Shape;
  /** What a batch has of it. @default the column of its name */
  readonly read?: (column: ReadColumn, c: SpecialTokens) => Column | undefined;
  /** What is fed, from what a batch has of it. undefined: a batch must have it. */
  readonly feed: (own: Column | undefined, at: Lengths<number>) => Column | undefined;
  /** What it says, for errors about batches without it. */
  readonly means?: string;
  /** Its whole numbers are at least 0 and below this. */
  readonly below?: number;
  /** What else is wrong with what a batch has of it. */
  readonly fault?: (own: Column, c: SpecialTokens) => string | undefined;
}

/** Inputs of a stack, by what the model calls them. */
export type InputSet = Readonly<Record<string, Input>>;

/** The inputs that an architecture declares for what its stack reads. */
export type InputsFor<X> = { readonly [K in keyof X as K extends "past" ? never : K]-?: Input };

/**
 * Numbers of a row as a whole.
 * @param shape - without the rows; names are of dimensions that differ from batch to batch
 * @param options - how else it is read, and what it says
 * @example rowInput("pixels", "f32", [3, "height", "width"])
 */
export function rowInput(
  name: string,
  dtype: Input["dtype"],
  shape: Shape,
  options: Pick<Input, "read" | "means" | "below"> = {},
): Input {
  return {
    ...options,
    name,
    role: "row",
    dtype,
    shape: ({ batch }) => [batch, ...shape],
    // [rows, 1] serves as [rows]
    feed: (own) => own && { data: own.data, shape: own.shape.slice(0, shape.length + 1) },
  };
}

/**
 * Numbers beside each token.
 * @param shape - of one token's; [] is one number
 * @param missing - what a batch without them has at every token. Default: a batch must have them. Virtual
 *   tokens have zeros
 * @example tokenInput("boxes", "i64", [4])
 */
export function tokenInput(
  name: string,
  dtype: Input["dtype"],
  shape: readonly number[] = [],
  missing?: number,
): Input {
  return {
    name,
    role: "token",
    dtype,
    shape: ({ batch, virtual, length }) => [batch, addDims(virtual, length), ...shape],
    feed: (own, { batch, length, virtual }) => {
      const given = own ?? (missing === undefined ? undefined : filled([batch, length, ...shape], missing));
      return given && padFront(given, virtual, 0);
    },
  };
}

/** past + virtual + length */
export function total({ past, virtual, length }: Lengths): Dim {
  return addDims(past, addDims(virtual, length));
}

/** first, first + 1, ... in every row, [rows, length] */
export function counting(rows: number, first: number, length: number): Column {
  const data = new Int32Array(rows * length);
  for (let i = 0; i < data.length; i++) data[i] = first + (i % length);
  return { data, shape: [rows, length] };
}

export function filled(shape: readonly number[], value: number): Column & { readonly data: Int32Array } {
  return { data: new Int32Array(shape.reduce((a, b) => a * b, 1)).fill(value), shape };
}

/** [rows, length, ...] with `before` times `value` in front of each row */
export function padFront(own: Column, before: number, value: number): Column {
  if (before === 0) return own;
  const [rows = 0, length = 0, ...rest] = own.shape;
  const each = rest.reduce((a, b) => a * b, 1);
  const size = (before + length) * each;
  const data = new (own.data instanceof Float32Array ? Float32Array : Int32Array)(rows * size).fill(value);
  for (let i = 0; i < rows; i++)
    data.set(own.data.subarray(i * length * each, (i + 1) * length * each), i * size + before * each);
  return { data, shape: [rows, before + length, ...rest] };
}
