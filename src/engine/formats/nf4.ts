import type { OnnxGraph } from "../onnx.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { inAndOut, reshapedAfter } from "./layout.js";
import { DYNAMIC, GROUP, packNf4, SIZE } from "./nf4_pack.js";

/**
 * W [out, in] in 4 bits each, the codes of 16 quantiles of a normal distribution, times the largest of its block of 64; these in turn in
 * 8 bits, in blocks of 256, around their mean (QLoRA, arXiv 2305.14314, section 3). Brought to f32 where it is used, to the bit as
 * bitsandbytes has it. Reference: bitsandbytes/functional.py, quantize_4bit with compress_statistics
 */
export const nf4: WeightFormat = {
  name: "nf4",
  parts: ([a, b]) => {
    const count = a! * b!;
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
    const whole = brought(o, w, absmax(o, w));
    return w.transposed ? o.node("Transpose", [whole], { perm: [1, 0] }) : whole;
  },
  linear: (o, x, w, transposed) => {
    const largest = absmax(o, w, x);
    if (transposed !== w.transposed) return o.node("MatMul", [x, brought(o, w, largest)]);
    const [inDim, outDim] = inAndOut(w.shape, w.transposed);
    return product(o, x, w.parts["data"]!, largest, inDim, outDim);
  },
  rows: (o, w, ids) => o.node("Gather", [nf4.weight(o, w), ids], { axis: 0 }),
  pack: (data, shape, transposed) => {
    const [inDim, outDim] = inAndOut(shape, transposed);
    return packNf4(transposed ? turned(data, inDim, outDim) : data);
  },
};

/** x [..., in] times W [out, in] transposed, W flat in codes. */
function product(
  o: OnnxGraph,
  x: string,
  data: string,
  largest: string,
  inDim: number,
  outDim: number,
): string {
  const attributes = { K: inDim, N: outDim, block_size: SIZE, quant_type: 1, transB: 1 };
  return o.contrib("MatMulBnb4", [x, data, largest], attributes);
}

/** [out, in] in f32: one row of a single 1 times W as a column brings each of its values back, at a third of a table's cost. */
function brought(o: OnnxGraph, w: StoredWeight, largest: string): string {
  const [inDim, outDim] = inAndOut(w.shape, w.transposed);
  const one = o.constant("f32", [1], [1, 1]);
  const values = product(o, one, w.parts["data"]!, largest, 1, inDim * outDim);
  return o.node("Reshape", [values, o.ints([outDim, inDim])]);
}

/** The largest of each block, [blocks]; not before x is there. */
function absmax(o: OnnxGraph, w: StoredWeight, x?: string): string {
  const blocks = Math.ceil((w.shape[0]! * w.shape[1]!) / SIZE);
  const groups = Math.ceil(blocks / GROUP);
  const codes = padded(o, w.parts["absmax"]!, groups * GROUP - blocks);
  const shape = [groups, GROUP];
  const grouped =
    x === undefined ? o.node("Reshape", [codes, o.ints(shape)]) : reshapedAfter(o, x, codes, shape);
  const ids = o.node("Cast", [grouped], { to: 6 });
  const values = o.node("Gather", [o.constant("f32", DYNAMIC, [GROUP]), ids], { axis: 0 });
  const scaled = o.node("Mul", [values, o.node("Reshape", [w.parts["nested"]!, o.ints([groups, 1])])]);
  const flat = o.node("Reshape", [o.node("Add", [scaled, w.parts["offset"]!]), o.ints([-1])]);
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
