import type { OnnxGraph } from "../onnx/onnx.js";
import { dequantized } from "./costs.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { partOf } from "./format.js";
import { inAndOut, reshapedAfter } from "./layout.js";

/**
 * W [out, in] in 4 bits, in blocks along `in` that have a scale each: w = s (q - 8). The layout is
 * MatMulNBits', which multiplies by it as it is, but brings constants only into the form it needs, and those
 * only where a session lays them out anew; for others it is slow. So there both halves of the bytes are
 * brought to f32, and a product is made of two: for even and for odd columns.
 */
export const int4: WeightFormat = blocks("int4", 64);
export const int4x32: WeightFormat = blocks("int4x32", 32);
export const int4x128: WeightFormat = blocks("int4x128", 128);

const ZERO_POINT = 8;

function blocks(name: string, size: number): WeightFormat {
  const format: WeightFormat = {
    name,
    parts: (shape, transposed) => {
      const [inDim, outDim] = inAndOut(shape, transposed);
      return {
        data: { element: "u8", shape: [outDim, inDim / size, size / 2] },
        scale: { element: "f32", shape: [outDim, inDim / size] },
      };
    },
    fits: (shape, transposed) => shape.length === 2 && inAndOut(shape, transposed)[0] % size === 0,
    weight: (o, w) => {
      const [, outDim] = inAndOut(w.shape, w.transposed);
      const all = o.node(
        "Range",
        [0, outDim, 1].map((n) => o.constant("i64", [n], [])),
      );
      const whole = rowsOf(o, w, all, size);
      return w.transposed ? o.node("Transpose", [whole], { perm: [1, 0] }) : whole;
    },
    linear: (o, x, w, transposed) => {
      if (transposed !== w.transposed) return backward(o, x, w, size);
      return w.laidOut === true ? laidOut(o, x, w, size) : forward(o, x, w, size);
    },
    rows: (o, w, ids) =>
      w.transposed ? o.node("Gather", [format.weight(o, w), ids], { axis: 0 }) : rowsOf(o, w, ids, size),
    costs: {
      ...dequantized,
      linear: ({ x, weight, y, forward }) => ({
        perWeight: { bytes: 4 * weight, scratch: [weight / 2, weight / 2] },
        scratch: forward ? [2 * x, 2 * x, 4 * y] : [2 * y, 2 * y],
      }),
    },
    pack: (data, shape, transposed) => pack(data, inAndOut(shape, transposed), transposed, size),
  };
  return format;
}

/** Rows of W [out, in] in f32. */
function rowsOf(o: OnnxGraph, w: StoredWeight, ids: string, size: number): string {
  const [inDim, outDim] = inAndOut(w.shape, w.transposed);
  const bytes = o.node("Reshape", [partOf(w, "data"), o.ints([outDim, inDim / 2])]);
  const attributes = { gather_axis: 0, quantize_axis: 1, block_size: size, bits: 4 };
  return o.contrib("GatherBlockQuantized", [bytes, ids, partOf(w, "scale")], attributes);
}

/** y = x W^T where W is laid out anew. accuracy_level 4: x in 8 bits, with a scale for each block too. */
function laidOut(o: OnnxGraph, x: string, w: StoredWeight, size: number): string {
  const [inDim, outDim] = inAndOut(w.shape, w.transposed);
  const attributes = { K: inDim, N: outDim, bits: 4, block_size: size, accuracy_level: 4 };
  return o.contrib("MatMulNBits", [x, partOf(w, "data"), partOf(w, "scale")], attributes);
}

/** y = x W^T, from x's even and odd columns. */
function forward(o: OnnxGraph, x: string, w: StoredWeight, size: number): string {
  const end = o.ints([inAndOut(w.shape, w.transposed)[0]]);
  const columns = (first: number): string =>
    o.once("Slice", [x, o.ints([first]), end, o.ints([-1]), o.ints([2])]);
  const [low, high] = halves(o, x, w, size);
  const y = o.contrib("FusedMatMul", [columns(0), low], { transB: 1 });
  return o.node("Add", [y, o.contrib("FusedMatMul", [columns(1), high], { transB: 1 })]);
}

/** dx = dy W, its even and odd columns. */
function backward(o: OnnxGraph, dy: string, w: StoredWeight, size: number): string {
  const [inDim] = inAndOut(w.shape, w.transposed);
  const columns = halves(o, dy, w, size).map((half) => o.node("MatMul", [dy, half]));
  const both = o.node(
    "Concat",
    columns.map((half) => o.node("Unsqueeze", [half, o.ints([-1])])),
    { axis: -1 },
  ); // [rows, in / 2, 2]
  return o.node("Reshape", [both, o.ints([-1, inDim])]);
}

/**
 * Even and odd columns of W in f32, each [out, in / 2], from the low and the high halves of its bytes; not
 * before x is there.
 */
function halves(o: OnnxGraph, x: string, w: StoredWeight, size: number): [even: string, odd: string] {
  const [inDim, outDim] = inAndOut(w.shape, w.transposed);
  const bytes = reshapedAfter(o, x, partOf(w, "data"), [outDim, inDim / 2]);
  const zero = o.once("Expand", [o.constant("u8", [ZERO_POINT], []), o.ints([outDim, inDim / size])]);
  const inF32 = (half: string): string =>
    o.node("DequantizeLinear", [half, partOf(w, "scale"), zero], { axis: 1, block_size: size / 2 });
  return [
    inF32(o.node("BitwiseAnd", [bytes, o.constant("u8", [15], [])])),
    inF32(o.node("BitShift", [bytes, o.constant("u8", [4], [])], { direction: "RIGHT" })),
  ];
}

/**
 * data [out, in], or [in, out] where `transposed`. A block's scale takes its number farthest from zero to -8:
 * nothing is cut.
 */
function pack(
  data: Float32Array,
  [inDim, outDim]: readonly [inDim: number, outDim: number],
  transposed: boolean,
  size: number,
): { data: Uint8Array; scale: Float32Array } {
  const bytes = new Uint8Array((outDim * inDim) / 2);
  const scale = new Float32Array((outDim * inDim) / size);
  const [row, column] = transposed ? [1, outDim] : [inDim, 1];
  for (let b = 0; b < scale.length; b++) {
    const first = b * size;
    const start = Math.floor(first / inDim) * row + (first % inDim) * column;
    let farthest = 0;
    for (let k = 0; k < size; k++) {
      const v = data[start + k * column]!;
      if (Math.abs(v) > Math.abs(farthest)) farthest = v;
    }
    scale[b] = farthest / -ZERO_POINT;
    const inverse = farthest === 0 ? 0 : -ZERO_POINT / farthest;
    for (let k = 0; k < size; k += 2) {
      const low = level(data[start + k * column]! * inverse);
      bytes[(first + k) / 2] = low | (level(data[start + (k + 1) * column]! * inverse) << 4);
    }
  }
  return { data: bytes, scale };
}

/** The level 0 .. 15 nearest to v around the zero point. */
function level(v: number): number {
  return Math.min(15, Math.max(0, Math.floor(v + ZERO_POINT + 0.5)));
}
