import { elements } from "./format.js";
import { inAndOut } from "./layout.js";

type Packed = { data: Int8Array; scale: Float32Array };

/**
 * W [out, in], or [in, out] where `transposed`, to bytes [in, out] of at most `largest` with a scale per
 * output.
 */
export function packInt8(
  data: Float32Array,
  shape: readonly number[],
  transposed: boolean,
  largest: number,
): Packed {
  const [inDim, outDim] = inAndOut(shape, transposed);
  return transposed ? packColumns(data, inDim, outDim, largest) : packRows(data, inDim, outDim, largest);
}

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
