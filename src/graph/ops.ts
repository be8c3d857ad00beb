import type { Dim } from "./dims.js";

/** Types a tensor may have inside a graph. How a weight is stored (f16, bf16, int8, ...) is the engine's matter. */
export type DType = "f32" | "i64" | "i32" | "bool";

type None = Record<never, never>;

/**
 * The primitives and their attributes. Each has one row in six tables: this one, `op_rows.ts`, `shapes.ts`, `autodiff/rules.ts`,
 * `engine/onnx/lowering.ts` and `engine/estimate/ops.ts`; a missing row does not compile. Axes are never negative here: `Graph`'s
 * methods normalise them.
 */
export interface Ops {
  // ---- sources
  /** A batch column or a trainable parameter, fed with every run. */
  input: { name: string; shape: readonly Dim[]; dtype: DType };
  /** A frozen weight of the checkpoint, by its module name: the whole matrix, however it is stored. */
  weight: { name: string; shape: readonly number[] };
  constant: { values: readonly number[]; shape: readonly number[]; dtype: DType };
  /** The value of a dimension, a scalar. */
  size: { dim: Dim; dtype: DType };
  /** 0, 1, ... dim - 1, i64. */
  iota: { dim: Dim };
  /** key [batch], site [] (both i32) -> uniform in [0, 1), counter-based: a function of both and the element's index in its row. */
  random: { shape: readonly Dim[] };

  // ---- elementwise, one input
  neg: None;
  exp: None;
  log: None;
  sqrt: None;
  abs: None;
  tanh: None;
  sigmoid: None;
  relu: None;
  erf: None;
  sin: None;
  cos: None;
  /** x Phi(x), or its tanh approximation. */
  gelu: { approximate: "none" | "tanh" };
  /** x sigmoid(x). */
  silu: None;
  not: None;
  cast: { to: DType };
  /** The same value, no gradient. */
  detach: None;

  // ---- elementwise, broadcasting
  add: None;
  sub: None;
  mul: None;
  div: None;
  max: None;
  min: None;
  pow: None;
  equal: None;
  less: None;
  and: None;
  or: None;
  /** where(condition, x, y) */
  where: None;

  // ---- reductions
  sum: { axes: readonly number[]; keepDims: boolean };
  mean: { axes: readonly number[]; keepDims: boolean };
  amax: { axes: readonly number[]; keepDims: boolean };
  cumsum: { axis: number };

  // ---- shape
  reshape: { shape: readonly Dim[] };
  transpose: { perm: readonly number[] };
  expand: { shape: readonly Dim[] };
  slice: { axis: number; start: Dim; end: Dim };
  concat: { axis: number };
  /** Zeroes before and after along an axis. */
  pad: { axis: number; before: Dim; after: Dim };

  // ---- indexing
  /** x, ids (i64) -> x with `axis` replaced by ids' shape. */
  gather: { axis: number };
  /** dy, ids -> sum of dy's slices by id, `size` along `axis`: the gradient of gather. */
  scatterAdd: { axis: number; size: Dim };
  /**
   * x [n, width], index [m], inverse [n] (i64) -> x[index] [m, width]: rows that move one to one. `inverse` says where each row of x
   * went, negative: nowhere; so the gradient moves rows back and needs no sums. Negative indices: zeros with `fill`, else any row.
   */
  moveRows: { fill: boolean };
  /** x [..., n], ids [..., m] (i64) -> x[..., ids]: one index space per row. */
  gatherLast: None;
  /** dy [..., m], ids [..., m] -> [..., size], adding up: the gradient of gatherLast. */
  scatterLast: { size: Dim };

  // ---- products
  matmul: { transA: boolean; transB: boolean };
  /** x [..., in], W [out, in] -> x W^T [..., out]; `transposed`: W is [in, out] (GPT-2's Conv1D, and the gradient). */
  linear: { transposed: boolean };

  // ---- compounds that kernels have whole
  /** over the last axis */
  softmax: None;
  logSoftmax: None;
  /** x, scale, bias over the last axis. aux 1: mean, aux 2: 1 / deviation, each [..., 1]. */
  layerNorm: { eps: number };
  /** x, scale. aux 1: 1 / root mean square [..., 1]. */
  rmsNorm: { eps: number };
  /**
   * x [batch, heads, seq, dim], cos and sin [batch, seq, dim / 2]: each pair (x[i], x[i + dim / 2]) turned by its angle,
   * (a cos - b sin, b cos + a sin).
   */
  rotary: None;
  /**
   * x [chunks, chunk, hidden], W [vocab, hidden], labels [chunks, chunk] (i64; negative: ignored) -> -log softmax(x W^T)[label],
   * 0 where ignored, [chunks, chunk], without ever holding more than one chunk's logits. aux 1: its gradient by x.
   */
  crossEntropy: None;
  /** A further result of the node that is its only input. */
  aux: { index: number };
}

export type OpName = keyof Ops;

/** A table with one row per primitive. */
export type Table<Row extends { [K in OpName]: unknown }> = { readonly [K in OpName]: Row[K] };

export interface Tensor<K extends OpName = OpName> {
  readonly id: number;
  readonly op: K;
  readonly attrs: Ops[K];
  readonly inputs: readonly Tensor[];
  readonly shape: readonly Dim[];
  readonly dtype: DType;
}

/** Narrows a tensor to the primitive that made it. */
export function isOp<K extends OpName>(x: Tensor, op: K): x is Tensor<K> {
  return (x.op as string) === op;
}
