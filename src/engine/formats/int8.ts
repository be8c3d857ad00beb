import type { OnnxGraph } from "../onnx.js";
import type { WeightFormat } from "./format.js";
import { elements } from "./format.js";

/** Levels of an activation: one byte around a zero point, so that the largest of a row is 127 from it. */
const LEVELS = 127;
const ZERO_POINT = 128;

/**
 * Vector-wise quantization (LLM.int8(), arXiv 2208.07339, section 3.1): W [in, out] in one byte with a scale per output, activations in
 * one byte with a scale per row, made as they come. Products run on int8 kernels both ways:
 *   y = m/127 (x 127/m) Wq s      with m = max |x| of each row
 *   dx = the same of dy s, with Wq transposed
 * Reference: bitsandbytes/autograd/_functions.py
 */
export const int8: WeightFormat = {
  name: "int8",
  parts: (shape, transposed) => {
    const [inDim, outDim] = matrix(shape, transposed);
    return {
      data: { element: "i8", shape: [inDim, outDim] },
      scale: { element: "f32", shape: [outDim] },
    };
  },
  weight: (o, w) => {
    const whole = o.node("Mul", [o.node("Cast", [w.parts["data"]!], { to: 1 }), w.parts["scale"]!]);
    return w.transposed ? whole : o.node("Transpose", [whole], { perm: [1, 0] });
  },
  linear: (o, x, w, transposed) => {
    const [data, scale] = [w.parts["data"]!, w.parts["scale"]!];
    if (transposed === w.transposed) return product(o, x, data, scale);
    const flipped = o.once("Transpose", [data], { perm: [1, 0] });
    return product(o, o.once("Mul", [x, scale]), flipped, o.constant("f32", [1], []));
  },
  rows: (o, w, ids) => o.node("Gather", [int8.weight(o, w), ids], { axis: 0 }),
  pack: (data, shape, transposed, { largest }) => {
    const [inDim, outDim] = matrix(shape, transposed);
    return transposed ? packColumns(data, inDim, outDim, largest) : packRows(data, inDim, outDim, largest);
  },
};

function matrix(shape: readonly number[], transposed: boolean): [inDim: number, outDim: number] {
  const [a, b] = shape as [number, number];
  return transposed ? [a, b] : [b, a];
}

/** x [..., k] times bytes [k, n] times scale [n]; what depends on x alone is made once for all products that read it. */
function product(o: OnnxGraph, x: string, data: string, scale: string): string {
  const tiny = o.constant("f32", [1e-30], []); // a row of zeros stays one
  const largest = o.once("Max", [
    o.once("ReduceMax", [o.once("Abs", [x]), o.ints([-1])], { keepdims: 1 }),
    tiny,
  ]);
  const step = o.constant("f32", [1 / LEVELS], []);
  const zero = o.constant("u8", [ZERO_POINT], []);
  const bytes = o.once("QuantizeLinear", [o.once("Div", [x, largest]), step, zero]);
  const y = o.contrib("MatMulIntegerToFloat", [bytes, data, step, scale, zero]);
  return o.node("Mul", [y, largest]);
}

type Packed = { data: Int8Array; scale: Float32Array };

/** data [out, in] -> [in, out], tile by tile: a row at a time would touch a new cache line with every byte. */
function packRows(data: Float32Array, inDim: number, outDim: number, largest: number): Packed {
  const scale = new Float32Array(outDim);
  const bytes = new Int8Array(elements([inDim, outDim]));
  const tile = 64;
  for (let first = 0; first < outDim; first += tile) {
    const last = Math.min(outDim, first + tile);
    for (let i = first; i < last; i++) {
      let m = 0;
      for (let k = i * inDim; k < (i + 1) * inDim; k++) {
        const v = Math.abs(data[k]!);
        if (v > m) m = v;
      }
      scale[i] = m / largest;
    }
    for (let k = 0; k < inDim; k++)
      for (let i = first; i < last; i++) {
        const s = scale[i]!;
        bytes[k * outDim + i] = s === 0 ? 0 : Math.round(data[i * inDim + k]! / s);
      }
  }
  return { data: bytes, scale };
}

/** data [in, out] */
function packColumns(data: Float32Array, inDim: number, outDim: number, largest: number): Packed {
  const scale = new Float32Array(outDim);
  for (let k = 0; k < data.length; k++) {
    const v = Math.abs(data[k]!);
    if (v > scale[k % outDim]!) scale[k % outDim] = v;
  }
  for (let i = 0; i < outDim; i++) scale[i]! /= largest;
  const bytes = new Int8Array(elements([inDim, outDim]));
  for (let k = 0; k < data.length; k++) {
    const s = scale[k % outDim]!;
    bytes[k] = s === 0 ? 0 : Math.round(data[k]! / s);
  }
  return { data: bytes, scale };
}
