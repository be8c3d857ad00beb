import type { OnnxGraph } from "../onnx/onnx.js";
import { dequantized } from "./costs.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { elements, partOf } from "./format.js";
import { inAndOut, reshapedAfter } from "./layout.js";
import { DYNAMIC, GROUP, packNf4, SIZE } from "./nf4_pack.js";

/**
 * W [out, in] in 4 bits each, the codes of 16 quantiles of a normal distribution, times the largest of its
 * block of 64; these in turn in 8 bits, in blocks of 256, around their mean (QLoRA, arXiv 2305.14314, section
 * 3). Brought to f32 where it is used, to the bit as bitsandbytes has it. Reference:
 * bitsandbytes/functional.py, quantize_4bit with compress_statistics
 */
export const nf4: WeightFormat = {
  name: "nf4",
  parts: (shape) => {
    const count = elements(shape);
    const blocks = Math.ceil(count / SIZE);
    return {
      data: { element: "u8", shape: [Math.ceil(count / 2)] },
      absmax: { element: "u8", shape: [blocks] },
      nested: { element: "f32", shape: [Math.ceil(blocks / GROUP)] },
      offset: { element: "f32", shape: [1] },
    };
  },
  fits: (shape) => shape.length === 2,
  weight: (o, w) => {
    const [inDim, outDim] = inAndOut(w.shape, w.transposed);
    const values = product(o, identity(o, 1), w, absmax(o, w), [1, inDim * outDim]);
    const whole = o.node("Reshape", [values, o.ints([outDim, inDim])]);
    return w.transposed ? o.node("Transpose", [whole], { perm: [1, 0] }) : whole;
  },
  linear: (o, x, w, transposed) => {
    const largest = absmax(o, w, x);
    if (transposed !== w.transposed) return backward(o, x, w, largest);
    return product(o, x, w, largest, inAndOut(w.shape, w.transposed));
  },
  rows: (o, w, ids) => o.node("Gather", [nf4.weight(o, w), ids], { axis: 0 }),
  costs: {
    ...dequantized,
    linear: ({ weight, forward }) => {
      const scratch = [4 * weight, weight / 16];
      return forward ? { scratch } : { perWeight: { bytes: 4 * weight, scratch }, scratch: [] };
    },
  },
  pack: (data, shape, transposed) => {
    const [inDim, outDim] = inAndOut(shape, transposed);
    return packNf4(transposed ? turned(data, inDim, outDim) : data);
  },
};

/** x [..., k] times W transposed, W flat in codes as [n, k]. */
function product(
  o: OnnxGraph,
  x: string,
  w: StoredWeight,
  largest: string,
  [k, n]: readonly [k: number, n: number],
): string {
  const attributes = { K: k, N: n, block_size: SIZE, quant_type: 1, transB: 1 };
  return o.contrib("MatMulBnb4", [x, partOf(w, "data"), largest], attributes);
}

/**
 * dx [rows, in] = dy W. MatMulBnb4 gives no product with W itself, but brings W to f32 where x is an
 * identity, faster than a table of values does: [lanes, lanes] gives every lanes-th number of W in each row,
 * which are columns of W where `lanes` divides `in`.
 */
function backward(o: OnnxGraph, dy: string, w: StoredWeight, largest: string): string {
  const [inDim, outDim] = inAndOut(w.shape, w.transposed);
  const lanes = inDim % LANES === 0 ? LANES : 1;
  const whole = product(o, identity(o, lanes), w, largest, [lanes, (inDim / lanes) * outDim]);
  const columns = o.node("Reshape", [whole, o.ints([lanes, outDim, inDim / lanes])]);
  const dx = o.node("Transpose", [o.node("MatMul", [dy, columns])], { perm: [1, 2, 0] });
  return o.node("Reshape", [dx, o.ints([-1, inDim])]); // [rows, in / lanes, lanes] ->
}

const LANES = 4;

function identity(o: OnnxGraph, size: number): string {
  const values = Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  return o.constant("f32", values, [size, size]);
}

/** The largest of each block, [blocks]; not before x is there. */
function absmax(o: OnnxGraph, w: StoredWeight, x?: string): string {
  const blocks = Math.ceil(elements(w.shape) / SIZE);
  const groups = Math.ceil(blocks / GROUP);
  const codes = padded(o, partOf(w, "absmax"), groups * GROUP - blocks);
  const shape = [groups, GROUP];
  const grouped =
    x === undefined ? o.node("Reshape", [codes, o.ints(shape)]) : reshapedAfter(o, x, codes, [groups, GROUP]);
  const ids = o.node("Cast", [grouped], { to: 6 });
  const values = o.node("Gather", [o.constant("f32", DYNAMIC, [GROUP]), ids], { axis: 0 });
  const scaled = o.node("Mul", [values, o.node("Reshape", [partOf(w, "nested"), o.ints([groups, 1])])]);
  const flat = o.node("Reshape", [o.node("Add", [scaled, partOf(w, "offset")]), o.ints([-1])]);
  return groups * GROUP === blocks ? flat : o.node("Slice", [flat, o.ints([0]), o.ints([blocks])]);
}

/** Bytes [n] with zeros behind them. */
function padded(o: OnnxGraph, bytes: string, more: number): string {
  return more === 0 ? bytes : o.node("Pad", [bytes, o.ints([0, more]), o.constant("u8", [0], [])]);
}

/** [in, out] -> [out, in] */
function turned(data: Float32Array, inDim: number, outDim: number): Float32Array {
  const rows = new Float32Array(data.length);
  for (let k = 0, at = 0; k < inDim; k++)
    for (let i = 0; i < outDim; i++, at++) rows[i * inDim + k] = data[at]!;
  return rows;
}
