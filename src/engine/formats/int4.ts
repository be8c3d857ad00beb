import type { OnnxGraph } from "../onnx.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { inAndOut } from "./layout.js";
import { pairsOf, reshapedAfter, unpacked } from "./nibbles.js";

/**
 * W [out, in] in 4 bits, in blocks along `in` that have a scale each: w = s (q - 8). The layout is MatMulNBits', which multiplies by it
 * as it is; going back, both halves of the bytes are brought to f32, and dx is made of two products, for its even and its odd columns.
 */
export const int4: WeightFormat = blocks("int4", 64);
export const int4x32: WeightFormat = blocks("int4x32", 32);
export const int4x128: WeightFormat = blocks("int4x128", 128);

const ZERO_POINT = 8;
const PAIRS: readonly number[] = pairsOf(
  Array.from({ length: 16 }, (_, q) => q - ZERO_POINT),
  "low",
);

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
      const whole = brought(o, w.parts["data"]!, w.parts["scale"]!, inAndOut(w.shape, w.transposed)[0]);
      return w.transposed ? o.node("Transpose", [whole], { perm: [1, 0] }) : whole;
    },
    linear: (o, x, w, transposed) => {
      if (transposed !== w.transposed) return backward(o, x, w, size);
      const [inDim, outDim] = inAndOut(w.shape, w.transposed);
      const attributes = { K: inDim, N: outDim, bits: 4, block_size: size };
      return o.contrib("MatMulNBits", [x, w.parts["data"]!, w.parts["scale"]!], attributes);
    },
    rows: (o, w, ids) => {
      if (w.transposed) return o.node("Gather", [format.weight(o, w), ids], { axis: 0 });
      const [data, scale] = [w.parts["data"]!, w.parts["scale"]!].map((part) =>
        o.node("Gather", [part, ids], { axis: 0 }),
      ) as [string, string];
      return brought(o, data, scale, w.shape[1]!);
    },
    pack: (data, shape, transposed) => pack(data, inAndOut(shape, transposed), transposed, size),
  };
  return format;
}

/** Bytes [..., blocks, size / 2] and scales [..., blocks] -> [..., in]. */
function brought(o: OnnxGraph, data: string, scale: string, inDim: number): string {
  const scales = o.node("Unsqueeze", [scale, o.ints([-1, -2])]);
  const values = o.node("Mul", [unpacked(o, data, PAIRS), scales]); // [..., blocks, size / 2, 2]
  const rows = o.node("Shape", [scale], { end: -1 });
  return o.node("Reshape", [values, o.node("Concat", [rows, o.ints([inDim])], { axis: 0 })]);
}

/** dx [..., in] = dy W, the even columns from the bytes' low halves, the odd ones from the high halves. */
function backward(o: OnnxGraph, dy: string, w: StoredWeight, size: number): string {
  const [inDim, outDim] = inAndOut(w.shape, w.transposed);
  const scale = w.parts["scale"]!;
  const bytes = reshapedAfter(o, dy, w.parts["data"]!, [outDim, inDim / 2]);
  const zero = o.node("Expand", [o.constant("u8", [ZERO_POINT], []), o.ints([outDim, inDim / size])]);
  const low = o.node("BitwiseAnd", [bytes, o.constant("u8", [15], [])]);
  const high = o.node("BitShift", [bytes, o.constant("u8", [4], [])], { direction: "RIGHT" });
  const [even, odd] = [low, high].map((half) => {
    const values = o.node("DequantizeLinear", [half, scale, zero], { axis: 1, block_size: size / 2 });
    return o.node("Unsqueeze", [o.node("MatMul", [dy, values]), o.ints([-1])]); // [..., in / 2, 1]
  }) as [string, string];
  const both = o.node("Concat", [even, odd], { axis: -1 });
  const rows = o.node("Shape", [dy], { end: -1 });
  return o.node("Reshape", [both, o.node("Concat", [rows, o.ints([inDim])], { axis: 0 })]);
}

/** Scales that are tried, over that which takes the number farthest from zero to -8: a few such numbers may be cut. */
const TRIED: readonly number[] = [1, 0.95, 0.9, 0.85, 0.8, 1.08];

/** data [out, in], or [in, out] where `transposed`. The scale of a block is the tried one with the least squared error. */
function pack(
  data: Float32Array,
  [inDim, outDim]: readonly [inDim: number, outDim: number],
  transposed: boolean,
  size: number,
): { data: Uint8Array; scale: Float32Array } {
  const bytes = new Uint8Array((outDim * inDim) / 2);
  const scale = new Float32Array((outDim * inDim) / size);
  const block = new Float32Array(size);
  const [row, column] = transposed ? [1, outDim] : [inDim, 1];
  for (let b = 0; b < scale.length; b++) {
    const first = b * size;
    const at = Math.floor(first / inDim) * row + (first % inDim) * column;
    for (let k = 0; k < size; k++) block[k] = data[at + k * column]!;
    const s = bestScale(block);
    scale[b] = s;
    const inverse = s === 0 ? 0 : 1 / s;
    for (let k = 0; k < size; k += 2)
      bytes[(first + k) / 2] = level(block[k]! * inverse) | (level(block[k + 1]! * inverse) << 4);
  }
  return { data: bytes, scale };
}

function bestScale(block: Float32Array): number {
  let farthest = 0;
  for (const v of block) if (Math.abs(v) > Math.abs(farthest)) farthest = v;
  if (farthest === 0) return 0;
  let [best, least] = [0, Number.POSITIVE_INFINITY];
  for (const tried of TRIED) {
    const s = Math.fround((tried * farthest) / -ZERO_POINT);
    const inverse = 1 / s;
    let error = 0;
    for (let k = 0; k < block.length; k++) {
      const v = block[k]!;
      const d = v - s * (level(v * inverse) - ZERO_POINT);
      error += d * d;
    }
    if (error < least) [best, least] = [s, error];
  }
  return best;
}

/** The level 0 .. 15 nearest to v around the zero point. */
function level(v: number): number {
  return Math.min(15, Math.max(0, Math.floor(v + ZERO_POINT + 0.5)));
}
