import type { Dim } from "./dims.js";

/**
 * Types a tensor may have inside a graph. How a weight is stored (f16, bf16, int8, ...) is the engine's
 * matter.
 */
export type DType = "f32" | "i64" | "i32" | "bool";

/** What has no attributes. */
export type None = Record<never, never>;

/**
 * The primitives and their attributes. Each has one row in six tables: this one, `op_rows.ts`, `shapes.ts`,
 * `autodiff/rules.ts`,
 * `engine/onnx/lowering.ts` and `engine/estimate/ops.ts`; a missing row does not compile. Axes are never
 * negative here: `Graph`'s methods normalise them.
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
  /**
   * key [batch], site [] (both i32) -> uniform in [0, 1), counter-based: a function of both and the element's
   * index in its row.
   */
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
   * x [n, width], index [m], inverse [n] (i64) -> x[index] [m, width]: rows that move one to one. `inverse`
   * says where each row of x went, negative: nowhere; so the gradient moves rows back and needs no sums.
   * Negative indices: zeros with `fill`, else any row.
   */
  moveRows: { fill: boolean };
  /** x [..., n], ids [..., m] (i64) -> x[..., ids]: one index space per row. */
  gatherLast: None;
  /** dy [..., m], ids [..., m] -> [..., size], adding up: the gradient of gatherLast. */
  scatterLast: { size: Dim };
  /**
   * x [batch, heads, length, dim], rows [batch, heads, n, dim], place [batch] (i64) -> x with `rows` in place
   * of its entries place .. place + n along the length.
   */
  writeRows: None;
  /**
   * x [..., n] (f32 or i64) -> ids of its k largest numbers, largest first, or its k smallest, smallest
   * first; equal ones in their order. [..., k], i64
   */
  topK: { k: Dim; largest: boolean };

  // ---- products
  matmul: { transA: boolean; transB: boolean };
  /**
   * x [..., in], W [out, in] -> x W^T [..., out]; `transposed`: W is [in, out] (GPT-2's Conv1D, and the
   * gradient).
   */
  linear: { transposed: boolean };
  /**
   * x [rows, in], starts [experts + 1] (i64), W [experts, out, in] -> [rows, out]: rows starts[e] to
   * starts[e + 1] by expert e's matrix. No expert without rows is computed, or its matrix read. `transposed`
   * as in linear.
   */
  expertLinear: { transposed: boolean };
  /** y [rows, out], x [rows, in], starts -> y_e^T x_e of each expert's rows, [experts, out, in]. */
  expertOuter: None;
  /**
   * x [batch, in, ...sizes], W [out, in / groups, ...kernel] -> [batch, out, ...]: a convolution over as many
   * axes as there are sizes, one for sound, two for pictures.
   */
  conv: Convolves;
  /** dy as conv gives it, W -> [batch, in, ...sizes]: conv's gradient by x. */
  convTranspose: Convolves & { readonly sizes: readonly Dim[] };

  // ---- compounds that kernels have whole
  /** over the last axis */
  softmax: None;
  logSoftmax: None;
  /** x, scale, bias over the last axis. aux 1: mean, aux 2: 1 / deviation, each [..., 1]. */
  layerNorm: { eps: number };
  /** x, scale. aux 1: 1 / root mean square [..., 1]. */
  rmsNorm: { eps: number };
  /**
   * x [batch, heads, seq, dim], cos and sin [batch, seq, dim / 2]: each pair (x[i], x[i + dim / 2]) turned by
   * its angle, (a cos - b sin, b cos + a sin).
   */
  rotary: None;
  /**
   * x [chunks, chunk, hidden], W [vocab, hidden], labels [chunks, chunk] (i64; negative: ignored) -> -log
   * softmax(x W^T)[label], 0 where ignored, [chunks, chunk], without ever holding more than one chunk's
   * logits. aux 1: its gradient by x. `smoothing` s: (1 - s) of that, and s of its mean over all labels.
   * Without a gradient, of p = softmax(x W^T), ignored labels' too, [chunks, chunk]: aux 2: entropy, aux 3:
   * mean logit, aux 4: log of the sum of p^2, aux 5: 1 where the label is the likeliest.
   */
  crossEntropy: { smoothing: number };
  /**
   * mask [batch, keys] (i64) -> what is added to scores, 0 where a query sees a key, else MASKED: [batch, 1,
   * queries, keys] where `causal`, else [batch, 1, 1, keys]. 0 in a mask is padding, which nobody sees; other
   * numbers are documents: a query sees the keys of its own, up to itself, and of these the last `window`.
   */
  attentionBias: Sees;
  /**
   * q [batch, heads, queries, dim], k v [batch, kvHeads, keys, dim], mask [batch, keys] -> softmax(scale q
   * k^T + attentionBias(mask)) v, in q's shape, `chunk` queries after another: no [queries, keys] is ever
   * whole. A query that sees nothing (padding in front) gives the mean of the values before it.
   */
  attention: Attends;
  /** The same and dy in q's shape -> dq; aux 1: dk, aux 2: dv. Scores are computed again. */
  attentionGradient: Attends;
  /**
   * Paths through states, one state a frame: from a state to itself, to the next, and where that one `skips`
   * (1) two ahead; they begin as if the first state came before, and end where `ends` is 1. emissions [batch,
   * frames, states] (one frame at least) are logarithms, skips and ends [batch, states] i64, mask [batch,
   * frames] i64 (1 at frames that count) -> -log of the sum of all paths, [batch]; infinite where there is
   * none. aux 1: its gradient by the emissions, 0 where there is none.
   */
  ctc: None;
  /** A further result of the node that is its only input. */
  aux: { index: number };
}

/** How a kernel moves over its axes: a number for each of them. */
export interface Convolves {
  readonly stride: readonly number[];
  /** Zeroes on both sides of an axis. */
  readonly padding: readonly number[];
  /** How far the kernel's elements are from each other. */
  readonly dilation: readonly number[];
  /** Parts of the channels that do not see each other; all of them: depthwise. */
  readonly groups: number;
}

/** Which keys a query sees. Queries are the last of the keys. */
export interface Sees {
  readonly queries: Dim;
  readonly causal: boolean;
  readonly window: number | undefined;
}

/** How queries attend to keys. */
export interface Attends extends Sees {
  readonly scale: number;
  /** Scores stay within -cap to cap: cap tanh(x / cap). */
  readonly cap: number | undefined;
  readonly chunk: number;
}

/** What is added to a score that must not count. */
export const MASKED = -1e9;

/** A primitive's name. */
export type OpName = keyof Ops;

/**
 * What each primitive reads, in this order. X: a tensor, or what stands for one (a node's number, the name of
 * a value).
 */
export interface Inputs<X> {
  input: readonly [];
  weight: readonly [];
  constant: readonly [];
  size: readonly [];
  iota: readonly [];
  random: readonly [key: X, site: X];

  neg: readonly [x: X];
  exp: readonly [x: X];
  log: readonly [x: X];
  sqrt: readonly [x: X];
  abs: readonly [x: X];
  tanh: readonly [x: X];
  sigmoid: readonly [x: X];
  relu: readonly [x: X];
  erf: readonly [x: X];
  sin: readonly [x: X];
  cos: readonly [x: X];
  gelu: readonly [x: X];
  silu: readonly [x: X];
  not: readonly [x: X];
  cast: readonly [x: X];
  detach: readonly [x: X];

  add: readonly [x: X, y: X];
  sub: readonly [x: X, y: X];
  mul: readonly [x: X, y: X];
  div: readonly [x: X, y: X];
  max: readonly [x: X, y: X];
  min: readonly [x: X, y: X];
  pow: readonly [x: X, y: X];
  equal: readonly [x: X, y: X];
  less: readonly [x: X, y: X];
  and: readonly [x: X, y: X];
  or: readonly [x: X, y: X];
  where: readonly [condition: X, x: X, y: X];

  sum: readonly [x: X];
  mean: readonly [x: X];
  amax: readonly [x: X];
  cumsum: readonly [x: X];

  reshape: readonly [x: X];
  transpose: readonly [x: X];
  expand: readonly [x: X];
  slice: readonly [x: X];
  concat: readonly [first: X, ...others: X[]];
  pad: readonly [x: X];

  gather: readonly [x: X, ids: X];
  scatterAdd: readonly [dy: X, ids: X];
  moveRows: readonly [x: X, index: X, inverse: X];
  gatherLast: readonly [x: X, ids: X];
  scatterLast: readonly [dy: X, ids: X];
  writeRows: readonly [x: X, rows: X, place: X];
  topK: readonly [x: X];

  matmul: readonly [a: X, b: X];
  linear: readonly [x: X, w: X];
  expertLinear: readonly [x: X, starts: X, w: X];
  expertOuter: readonly [y: X, x: X, starts: X];
  conv: readonly [x: X, w: X];
  convTranspose: readonly [dy: X, w: X];

  softmax: readonly [x: X];
  logSoftmax: readonly [x: X];
  layerNorm: readonly [x: X, scale: X, bias: X];
  rmsNorm: readonly [x: X, scale: X];
  rotary: readonly [x: X, cos: X, sin: X];
  crossEntropy: readonly [x: X, w: X, labels: X];
  attentionBias: readonly [mask: X];
  attention: readonly [q: X, k: X, v: X, mask: X];
  attentionGradient: readonly [q: X, k: X, v: X, mask: X, dy: X];
  ctc: readonly [emissions: X, skips: X, ends: X, mask: X];
  aux: readonly [node: X];
}

/** The primitives that read one thing, or two. */
export type UnaryOp = OpsThatRead<readonly [0]>;
export type BinaryOp = OpsThatRead<readonly [0, 0]>;
type OpsThatRead<List> = { [K in OpName]: Inputs<0>[K] extends List ? K : never }[OpName];

/** What a primitive reads, each replaced by what stands for it elsewhere. */
export function mapInputs<K extends OpName, X, Y>(
  inputs: Inputs<X>[K],
  map: (x: X, index: number) => Y,
): Inputs<Y>[K] {
  return (inputs as readonly X[]).map(map) as unknown as Inputs<Y>[K];
}

/** A table with one row per primitive. */
export type Table<Row extends { [K in OpName]: unknown }> = { readonly [K in OpName]: Row[K] };

/**
 * A node of a graph: what a primitive gives. Whoever writes a model, a method or a loss passes it on to the
 * next.
 */
export interface Tensor<K extends OpName = OpName> {
  readonly id: number;
  readonly op: K;
  readonly attrs: Ops[K];
  readonly inputs: Inputs<Tensor>[K];
  /** Numbers, or names of dimensions that each run knows: ["batch", "seq", 768]. */
  readonly shape: readonly Dim[];
  readonly dtype: DType;
}

/** Narrows a tensor to the primitive that made it. */
export function isOp<K extends OpName>(x: Tensor, op: K): x is Tensor<K> {
  const found: OpName = x.op;
  return found === op;
}
