import { internal } from "../errors.js";
import { addDims, dimAt, subDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { OpName, Ops, Table, Tensor } from "../graph/ops.js";
import { isOp } from "../graph/ops.js";
import {
  attention,
  crossEntropy,
  ctc,
  gelu,
  layerNorm,
  logSoftmax,
  rmsNorm,
  rotary,
  silu,
  softmax,
} from "./compounds.js";
import { conv, convTranspose } from "./convolution.js";
import { binary, noGradient, unary, unbroadcast, type Vjp } from "./vjp.js";

/** Puts the axes that a reduction dropped back, with length 1. */
function keepDims(g: Graph, dy: Tensor, x: Tensor, axes: readonly number[]): Tensor {
  return g.reshape(
    dy,
    x.shape.map((d, i) => (axes.includes(i) ? 1 : d)),
  );
}

/** The share of dz that goes to x in max or min: all where x won, half where both are equal, as torch. */
function won(g: Graph, dz: Tensor, x: Tensor, y: Tensor, xWon: Tensor): Tensor {
  return g.where(g.equal(x, y), g.mul(dz, 0.5), g.where(xWon, dz, 0));
}

/** dz y x^(y - 1), and 0 where y = 0, as torch, also at x = 0. */
function powByBase(g: Graph, dz: Tensor, x: Tensor, y: Tensor): Tensor {
  const dx = g.mul(dz, g.mul(y, g.pow(x, g.sub(y, 1))));
  const neverZero = isOp(y, "constant") && y.attrs.values.every((value) => value !== 0);
  return neverZero ? dx : g.where(g.equal(y, 0), 0, dx);
}

const matmul: Vjp<"matmul"> = (g, y, dy, [a, b], wants) => {
  const { transA, transB } = y.attrs;
  const byA = (): Tensor =>
    transA
      ? g.matmul(b, dy, { transA: transB, transB: true }) // Y = A^T B: dA = B dY^T
      : g.matmul(dy, b, { transB: !transB }); // Y = A B: dA = dY B^T
  const byB = (): Tensor => {
    const merge = b.shape.length === 2 && !transA; // one product, not one per batch entry
    const [left, right] = merge ? [g.rows(a), g.rows(dy)] : [a, dy];
    return transB
      ? g.matmul(right, left, { transA: true, transB: transA }) // Y = A B^T: dB = dY^T A
      : g.matmul(left, right, { transA: !transA }); // Y = A B: dB = A^T dY
  };
  return [
    wants[0] ? unbroadcast(g, byA(), a.shape) : undefined,
    wants[1] ? unbroadcast(g, byB(), b.shape) : undefined,
  ];
};

const linear: Vjp<"linear"> = (g, y, dy, [x, w], wants) => {
  const { transposed } = y.attrs;
  const byW = (): Tensor =>
    transposed
      ? g.matmul(g.rows(x), g.rows(dy), { transA: true }) // y = x W: dW = x^T dy
      : g.matmul(g.rows(dy), g.rows(x), { transA: true }); // y = x W^T: dW = dy^T x
  return [
    wants[0] ? g.linear(dy, w, !transposed) : undefined, // y = x W^T: dx = dy W
    wants[1] ? byW() : undefined,
  ];
};

const expertLinear: Vjp<"expertLinear"> = (g, y, dy, [x, starts, w], wants) => {
  const { transposed } = y.attrs;
  const byW = (): Tensor =>
    transposed
      ? g.expertOuter(x, dy, starts) // y_e = x_e W_e: dW_e = x_e^T dy_e
      : g.expertOuter(dy, x, starts); // y_e = x_e W_e^T: dW_e = dy_e^T x_e
  return [
    wants[0] ? g.expertLinear(dy, starts, w, !transposed) : undefined, // dx_e = dy_e W_e
    undefined,
    wants[2] ? byW() : undefined,
  ];
};

// z_e = y_e^T x_e: dy_e = x_e dz_e^T, dx_e = y_e dz_e
const expertOuter: Vjp<"expertOuter"> = (g, _, dz, [y, x, starts], wants) => [
  wants[0] ? g.expertLinear(x, starts, dz) : undefined,
  wants[1] ? g.expertLinear(y, starts, dz, true) : undefined,
  undefined,
];

const concat: Vjp<"concat"> = (g, y, dy, inputs, wants) => {
  const { axis } = y.attrs;
  let start: Ops["slice"]["start"] = 0;
  return inputs.map((x, i) => {
    const from = start;
    start = addDims(from, dimAt(x.shape, axis));
    return wants[i] ? g.slice(dy, axis, from, start) : undefined;
  });
};

const cumsum: Vjp<"cumsum"> = (g, y, dy) => {
  const { axis } = y.attrs;
  // dx_i = sum over j >= i of dy_j = total - cumsum(dy)_i + dy_i
  return [g.add(g.sub(g.sum(dy, axis, true), g.cumsum(dy, axis)), dy)];
};

const amax: Vjp<"amax"> = (g, y, dy, [x]) => {
  const { axes } = y.attrs;
  const hit = g.cast(g.equal(x, keepDims(g, y, x, axes)), "f32");
  // dx = dy / (number of maxima) at each maximum
  return [g.mul(hit, g.div(keepDims(g, dy, x, axes), g.sum(hit, axes, true)))];
};

/** x: how many elements a mean's result averages, as a product over its axes. */
function meanOf(g: Graph, dy: Tensor, x: Tensor, axes: readonly number[]): Tensor {
  return axes.reduce((d, axis) => g.div(d, g.size(dimAt(x.shape, axis))), dy);
}

/** The gradient rule of each primitive. Above a rule, or beside it, the maths that it is. */
export const rules: Table<{ [K in OpName]: Vjp<K> }> = {
  input: noGradient,
  weight: noGradient,
  constant: noGradient,
  size: noGradient,
  iota: noGradient,
  random: noGradient,

  // dx = -dy
  neg: unary((g, dy) => g.neg(dy)),
  // dx = dy y
  exp: unary((g, dy, _x, y) => g.mul(dy, y)),
  // dx = dy / x
  log: unary((g, dy, x) => g.div(dy, x)),
  // dx = dy / 2y
  sqrt: unary((g, dy, _x, y) => g.mul(g.div(dy, y), 0.5)),
  // dx = dy sign(x), 0 at 0
  abs: unary((g, dy, x) => g.where(g.less(x, 0), g.neg(dy), g.where(g.less(0, x), dy, 0))),
  // dx = dy (1 - y^2)
  tanh: unary((g, dy, _x, y) => g.mul(dy, g.sub(1, g.mul(y, y)))),
  // dx = dy (y - y^2)
  sigmoid: unary((g, dy, _x, y) => g.mul(dy, g.sub(y, g.mul(y, y)))),
  // dx = dy where y > 0
  relu: unary((g, dy, _x, y) => g.mul(g.cast(g.less(0, y), "f32"), dy)),
  // dx = dy 2 / sqrt(pi) exp(-x^2)
  erf: unary((g, dy, x) => g.mul(dy, g.mul(g.exp(g.neg(g.mul(x, x))), 2 / Math.sqrt(Math.PI)))),
  // dx = dy cos x
  sin: unary((g, dy, x) => g.mul(dy, g.cos(x))),
  // dx = -dy sin x
  cos: unary((g, dy, x) => g.neg(g.mul(dy, g.sin(x)))),
  gelu,
  silu,
  not: noGradient,
  // only f32 carries a gradient, and a cast of f32 to itself is no node
  cast: noGradient,
  detach: noGradient,

  // z = x + y: dx = dz, dy = dz
  add: binary(
    (_, dz) => dz,
    (_, dz) => dz,
  ),
  // z = x - y: dx = dz, dy = -dz
  sub: (g, _z, dz, [x, y], wants) => [
    wants[0] ? unbroadcast(g, dz, x.shape) : undefined,
    wants[1] ? g.neg(unbroadcast(g, dz, y.shape)) : undefined,
  ],
  // z = x y: dx = dz y, dy = dz x
  mul: binary(
    (g, dz, _x, y) => g.mul(dz, y),
    (g, dz, x) => g.mul(dz, x),
  ),
  // z = x / y: dx = dz / y, dy = -dz / y z
  div: binary(
    (g, dz, _x, y) => g.div(dz, y),
    (g, dz, _x, y, z) => g.neg(g.mul(g.div(dz, y), z)),
  ),
  max: binary(
    (g, dz, x, y) => won(g, dz, x, y, g.less(y, x)),
    (g, dz, x, y) => won(g, dz, x, y, g.less(x, y)),
  ),
  min: binary(
    (g, dz, x, y) => won(g, dz, x, y, g.less(x, y)),
    (g, dz, x, y) => won(g, dz, x, y, g.less(y, x)),
  ),
  // z = x^y: dx = dz y x^(y - 1), dy = dz z log x, 0 at x = 0
  pow: binary(powByBase, (g, dz, x, _y, z) => g.where(g.equal(x, 0), 0, g.mul(dz, g.mul(z, g.log(x))))),
  equal: noGradient,
  less: noGradient,
  and: noGradient,
  or: noGradient,
  // dx = dz where c, dy = dz where not c
  where: (g, _z, dz, [c, x, y], wants) => [
    undefined,
    wants[1] ? unbroadcast(g, g.where(c, dz, 0), x.shape) : undefined,
    wants[2] ? unbroadcast(g, g.where(c, 0, dz), y.shape) : undefined,
  ],

  // dx = dy, to each summand
  sum: (g, y, dy, [x]) => [g.expand(keepDims(g, dy, x, y.attrs.axes), x.shape)],
  // dx = dy / n, to each
  mean: (g, y, dy, [x]) => [g.expand(keepDims(g, meanOf(g, dy, x, y.attrs.axes), x, y.attrs.axes), x.shape)],
  amax,
  cumsum,

  reshape: unary((g, dy, x) => g.reshape(dy, x.shape)),
  transpose: (g, y, dy) => [
    g.transpose(
      dy,
      y.attrs.perm.map((_, i) => y.attrs.perm.indexOf(i)),
    ),
  ],
  expand: unary((g, dy, x) => unbroadcast(g, dy, x.shape)),
  // zeroes where the slice did not reach
  slice: (g, y, dy, [x]) => {
    const { axis, start, end } = y.attrs;
    return [g.pad(dy, axis, start, subDims(dimAt(x.shape, axis), end))];
  },
  concat,
  pad: (g, y, dy, [x]) => {
    const { axis, before } = y.attrs;
    return [g.slice(dy, axis, before, addDims(before, dimAt(x.shape, axis)))];
  },

  // y = x[ids]: dx[i] = sum of dy where ids = i, and the other way round
  gather: (g, y, dy, [x, ids]) => [g.scatterAdd(dy, ids, y.attrs.axis, dimAt(x.shape, y.attrs.axis))],
  scatterAdd: (g, y, dy, [_, ids]) => [g.gather(dy, ids, y.attrs.axis)],
  moveRows: (g, _y, dy, [_, index, inverse]) => [g.moveRows(dy, inverse, index, true)],
  gatherLast: (g, _y, dy, [x, ids]) => [g.scatterLast(dy, ids, dimAt(x.shape, -1))],
  scatterLast: (g, _y, dy, [_, ids]) => [g.gatherLast(dy, ids)],

  writeRows: noGradient,
  topK: noGradient,

  matmul,
  linear,
  expertLinear,
  expertOuter,
  conv,
  convTranspose,

  softmax,
  logSoftmax,
  layerNorm,
  rmsNorm,
  rotary,
  crossEntropy,
  attentionBias: noGradient,
  attention,
  attentionGradient: noGradient,
  ctc,
  aux: (_, y) =>
    internal(`no second derivatives: result ${y.attrs.index} of ${y.inputs[0].op} was differentiated`),
};
