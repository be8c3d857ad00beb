import type { OnnxGraph } from "../onnx.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { elements } from "./format.js";
import { inAndOut, reshapedAfter } from "./layout.js";

/** Levels of an activation: one byte around a zero point, so that the largest of a row is 127 from it. */
const LEVELS = 127;
const ZERO_POINT = 128;

/**
 * Vector-wise quantization (LLM.int8(), arXiv 2208.07339, section 3.1): W [in, out] in one byte with a scale per output, activations in
 * one byte with a scale per row, made as they come. Products run on int8 kernels both ways:
 *   y = m/127 (x 127/m) Wq s      with m = max |x| of each row
 *   dx = the same of dy s, with Wq transposed
 * Columns of x with outliers go through f32.
 * Reference: bitsandbytes/autograd/_functions.py
 */
export const int8: WeightFormat = {
  name: "int8",
  parts: (shape, transposed) => {
    const [inDim, outDim] = inAndOut(shape, transposed);
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
    if (transposed === w.transposed) return forward(o, x, w);
    const [inDim, outDim] = inAndOut(w.shape, w.transposed);
    const flipped = o.node("Transpose", [reshapedAfter(o, x, data, [inDim, outDim])], { perm: [1, 0] });
    return product(o, o.once("Mul", [x, scale]), flipped, o.constant("f32", [1], []));
  },
  rows: (o, w, ids) => o.node("Gather", [int8.weight(o, w), ids], { axis: 0 }),
  pack: (data, shape, transposed, { largest }) => {
    const [inDim, outDim] = inAndOut(shape, transposed);
    return transposed ? packColumns(data, inDim, outDim, largest) : packRows(data, inDim, outDim, largest);
  },
};

/**
 * The columns of x with the largest values go through f32 (section 3): a few features of a trained transformer are so much larger than
 * the rest that one scale for all would leave the rest nothing. Which ones they are is found anew in each product.
 */
function forward(o: OnnxGraph, x: string, w: StoredWeight): string {
  const [data, scale] = [w.parts["data"]!, w.parts["scale"]!];
  const [inDim] = inAndOut(w.shape, w.transposed);
  if (inDim < FEW_COLUMNS) return product(o, x, data, scale);
  const rows = o.once("Reshape", [x, o.ints([-1, inDim])]);
  const most = o.once("ReduceMax", [o.once("Abs", [rows]), o.ints([0])], { keepdims: 0 });
  const [, columns] = o.onceNodes("TopK", [most, o.ints([OUTLIERS])], {}, 2) as [string, string];
  const ones = o.once("Expand", [o.constant("f32", [1], []), o.ints([inDim])]);
  const zeros = o.once("Expand", [o.constant("f32", [0], []), o.ints([OUTLIERS])]);
  const rest = o.once("Mul", [x, o.once("ScatterElements", [ones, columns, zeros], { axis: 0 })]);
  const few = o.once("Gather", [x, columns], { axis: -1 });
  const byteRows = o.node("Cast", [o.node("Gather", [data, columns], { axis: 0 })], { to: 1 });
  const outlying = o.node("MatMul", [few, o.node("Mul", [byteRows, scale])]);
  return o.node("Add", [product(o, rest, data, scale), outlying]);
}

/** Columns that go through f32, of matrices that have many more. */
const OUTLIERS = 16;
const FEW_COLUMNS = 8 * OUTLIERS;

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

/** data [out, in] -> [in, out], in tiles: a row at a time would touch a new cache line with every byte. */
function packRows(data: Float32Array, inDim: number, outDim: number, largest: number): Packed {
  const scale = new Float32Array(outDim);
  const inverse = new Float64Array(outDim);
  for (let i = 0; i < outDim; i++) {
    let m = 0;
    for (let k = i * inDim; k < (i + 1) * inDim; k++) {
      const v = Math.abs(data[k]!);
      if (v > m) m = v;
    }
    scale[i] = m / largest;
    inverse[i] = m === 0 ? 0 : largest / m;
  }
  const bytes = new Int8Array(elements([inDim, outDim]));
  for (let k0 = 0; k0 < inDim; k0 += TILE)
    for (let i0 = 0; i0 < outDim; i0 += TILE) packTile(data, bytes, inverse, { inDim, outDim, k0, i0 });
  return { data: bytes, scale };
}

const TILE = 64;

function packTile(
  data: Float32Array,
  bytes: Int8Array,
  inverse: Float64Array,
  { inDim, outDim, k0, i0 }: { inDim: number; outDim: number; k0: number; i0: number },
): void {
  const [k1, i1] = [Math.min(inDim, k0 + TILE), Math.min(outDim, i0 + TILE)];
  for (let i = i0; i < i1; i++) {
    const s = inverse[i]!;
    for (let k = k0; k < k1; k++) {
      const v = data[i * inDim + k]! * s;
      bytes[k * outDim + i] = v < 0 ? v - 0.5 : v + 0.5; // stored towards zero
    }
  }
}

/** data [in, out] */
function packColumns(data: Float32Array, inDim: number, outDim: number, largest: number): Packed {
  const scale = new Float32Array(outDim);
  for (let k = 0, i = 0; k < data.length; k++) {
    const v = Math.abs(data[k]!);
    if (v > scale[i]!) scale[i] = v;
    if (++i === outDim) i = 0;
  }
  const inverse = Float64Array.from(scale, (m) => (m === 0 ? 0 : largest / m));
  for (let i = 0; i < outDim; i++) scale[i]! /= largest;
  const bytes = new Int8Array(elements([inDim, outDim]));
  for (let k = 0, i = 0; k < data.length; k++) {
    const v = data[k]! * inverse[i]!;
    bytes[k] = v < 0 ? v - 0.5 : v + 0.5;
    if (++i === outDim) i = 0;
  }
  return { data: bytes, scale };
}
