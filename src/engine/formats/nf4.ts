import type { OnnxGraph } from "../onnx.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { linearF32 } from "./format.js";
import { inAndOut } from "./layout.js";
import { DYNAMIC, GROUP, NF4, packNf4, SIZE } from "./nf4_pack.js";
import { pairsOf, reshapedAfter, unpacked } from "./nibbles.js";

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
    const whole = brought(o, w, (bytes, shape) => o.node("Reshape", [bytes, o.ints(shape)]));
    return w.transposed ? o.node("Transpose", [whole], { perm: [1, 0] }) : whole;
  },
  linear: (o, x, w, transposed) => {
    const whole = brought(o, w, (bytes, shape) => reshapedAfter(o, x, bytes, shape));
    return linearF32(o, x, whole, transposed !== w.transposed);
  },
  rows: (o, w, ids) => o.node("Gather", [nf4.weight(o, w), ids], { axis: 0 }),
  pack: (data, shape, transposed) => {
    const [inDim, outDim] = inAndOut(shape, transposed);
    return packNf4(transposed ? turned(data, inDim, outDim) : data);
  },
};

const PAIRS: readonly number[] = pairsOf(NF4, "high");

/** [out, in] in f32 from its bytes. */
function brought(
  o: OnnxGraph,
  w: StoredWeight,
  reshaped: (bytes: string, shape: readonly number[]) => string,
): string {
  const [inDim, outDim] = inAndOut(w.shape, w.transposed);
  const count = inDim * outDim;
  const blocks = Math.ceil(count / SIZE);
  const bytes = padded(o, w.parts["data"]!, (blocks * SIZE) / 2 - Math.ceil(count / 2));
  const pairs = unpacked(o, reshaped(bytes, [blocks, SIZE / 2]), PAIRS);
  const largest = o.node("Reshape", [absmax(o, w, blocks), o.ints([blocks, 1, 1])]);
  const values = o.node("Mul", [pairs, largest]); // [blocks, 32, 2]
  if (count === blocks * SIZE) return o.node("Reshape", [values, o.ints([outDim, inDim])]);
  const flat = o.node("Reshape", [values, o.ints([-1])]);
  const used = o.node("Slice", [flat, o.ints([0]), o.ints([count])]);
  return o.node("Reshape", [used, o.ints([outDim, inDim])]);
}

/** The largest of each block: [blocks], or more. */
function absmax(o: OnnxGraph, w: StoredWeight, blocks: number): string {
  const groups = Math.ceil(blocks / GROUP);
  const codes = padded(o, w.parts["absmax"]!, groups * GROUP - blocks);
  const ids = o.node("Cast", [o.node("Reshape", [codes, o.ints([groups, GROUP])])], { to: 6 });
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
