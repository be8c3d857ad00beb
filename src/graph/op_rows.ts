import type { Dim } from "./dims.js";
import type { OpName, Ops, Table } from "./ops.js";

/** The attributes of a primitive that hold a dimension, or a list of them. */
type DimAttribute<Attrs> = {
  [A in keyof Attrs]: Dim extends Attrs[A] ? A : readonly Dim[] extends Attrs[A] ? A : never;
}[keyof Attrs];

/**
 * An input that is read in the format it is stored in, where it is a weight; other inputs by their index too.
 */
export type StoredInput =
  | { readonly as: "linear"; readonly input: number; readonly x: number; readonly transposed: boolean }
  /** The same, one matrix of a stack after another. */
  | { readonly as: "experts"; readonly input: number; readonly x: number; readonly transposed: boolean }
  /** The products of a loss's head, chunk by chunk. */
  | { readonly as: "head"; readonly input: number }
  | { readonly as: "rows"; readonly input: number; readonly ids: number };

/** What shared code asks of a primitive, whichever it is. */
export interface OpRow<Attrs> {
  /** Attributes that hold dimensions: the type names them all. */
  readonly dims: { readonly [A in DimAttribute<Attrs>]: true };
  /** It depends on nothing: whoever needs it makes it again, so that it is never a boundary. */
  readonly isSource: boolean;
  readonly stored: (attrs: Attrs) => StoredInput | undefined;
  /** Index of the input that is a number which differs between blocks of one kind. */
  readonly site: number | undefined;
  /** Results beyond the first (`aux`): as large as which input, or one number per row of the first. */
  readonly further: readonly (number | "row")[];
}

const none = (): undefined => undefined;
const plain: OpRow<unknown> = { dims: {}, isSource: false, stored: none, site: undefined, further: [] };
const source: OpRow<unknown> = { ...plain, isSource: true };

export const opRows: Table<{ [K in OpName]: OpRow<Ops[K]> }> = {
  input: { ...source, dims: { shape: true } },
  weight: source,
  constant: source,
  size: { ...source, dims: { dim: true } },
  iota: { ...source, dims: { dim: true } },
  random: { ...plain, dims: { shape: true }, site: 1 },
  neg: plain,
  exp: plain,
  log: plain,
  sqrt: plain,
  abs: plain,
  tanh: plain,
  sigmoid: plain,
  relu: plain,
  erf: plain,
  sin: plain,
  cos: plain,
  gelu: plain,
  silu: plain,
  not: plain,
  cast: plain,
  detach: plain,
  add: plain,
  sub: plain,
  mul: plain,
  div: plain,
  max: plain,
  min: plain,
  pow: plain,
  equal: plain,
  less: plain,
  and: plain,
  or: plain,
  where: plain,
  sum: plain,
  mean: plain,
  amax: plain,
  cumsum: plain,
  reshape: { ...plain, dims: { shape: true } },
  transpose: plain,
  expand: { ...plain, dims: { shape: true } },
  slice: { ...plain, dims: { start: true, end: true } },
  concat: plain,
  pad: { ...plain, dims: { before: true, after: true } },
  gather: { ...plain, stored: ({ axis }) => (axis === 0 ? { as: "rows", input: 0, ids: 1 } : undefined) },
  scatterAdd: { ...plain, dims: { size: true } },
  moveRows: plain,
  gatherLast: plain,
  scatterLast: { ...plain, dims: { size: true } },
  writeRows: plain,
  topK: { ...plain, dims: { k: true } },
  matmul: plain,
  linear: { ...plain, stored: ({ transposed }) => ({ as: "linear", input: 1, x: 0, transposed }) },
  expertLinear: { ...plain, stored: ({ transposed }) => ({ as: "experts", input: 2, x: 0, transposed }) },
  expertOuter: plain,
  conv: plain,
  convTranspose: { ...plain, dims: { sizes: true } },
  softmax: plain,
  logSoftmax: plain,
  layerNorm: { ...plain, further: ["row", "row"] },
  rmsNorm: { ...plain, further: ["row"] },
  rotary: plain,
  crossEntropy: { ...plain, stored: () => ({ as: "head", input: 1 }), further: [0, 2, 2, 2, 2] },
  attentionBias: { ...plain, dims: { queries: true } },
  attention: { ...plain, dims: { queries: true } },
  attentionGradient: { ...plain, dims: { queries: true }, further: [1, 2] },
  ctc: { ...plain, further: [0] },
  aux: plain,
};

/** The input that an operation reads as it is stored, where that is a weight. */
export function storedInput<K extends OpName>(op: K, attrs: Ops[K]): StoredInput | undefined {
  return opRows[op].stored(attrs);
}
