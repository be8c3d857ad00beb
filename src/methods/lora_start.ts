import { at } from "../present.js";
import type { Random } from "../random.js";
import { normal, uniform } from "../random.js";
import { addTimes, dense, qr, svd } from "./decomposition.js";
import type { Change, Prepared } from "./method.js";

/** A layer as an initialization sees it: W is [out, in], or [in, out] where `transposed`. */
export interface Start extends Change {
  readonly r: number;
  /** s: alpha / r or alpha / sqrt(r). */
  readonly scale: number;
  readonly random: Random;
}

/** a [r, in], b [out, r] */
export interface Pair {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** The principal part: W = U S V^T, B = U sqrt(S / s), A = sqrt(S / s) V^T (arXiv 2404.02948). */
export function pissa(start: Start): Pair {
  const { r, inDim, outDim, scale } = start;
  const { u, s, v } = svd(dense(start), r);
  const roots = s.map((x) => Math.sqrt(x / scale));
  const a = new Float32Array(r * inDim);
  const b = new Float32Array(outDim * r);
  for (const [k, root] of roots.entries()) {
    for (let i = 0; i < inDim; i++) a[k * inDim + i] = root * at(v.data, i * r + k);
    for (let o = 0; o < outDim; o++) b[o * r + k] = root * at(u.data, o * r + k);
  }
  return { a, b };
}

/** W = Q R: B is Q's first columns, A is R's first rows (arXiv 2406.01775). */
export function olora(start: Start): Pair {
  const { q, r } = qr(dense(start), start.r);
  return { a: Float32Array.from(r.data), b: Float32Array.from(q.data) };
}

/** B = left vectors of W's r smallest directions, A = 0 (arXiv 2604.01694). */
export function mica(start: Start): Pair {
  const { r, inDim, outDim } = start;
  const { u } = svd(dense(start), Math.min(inDim, outDim));
  const b = Float32Array.from({ length: outDim * r }, (_, i) => {
    return at(u.data, Math.floor(i / r) * u.cols + u.cols - r + (i % r));
  });
  return { a: new Float32Array(r * inDim), b };
}

/** W without its r smallest directions (arXiv 2412.06071). */
export function withoutSmallest(start: Start): Float32Array {
  const { r, inDim, outDim } = start;
  const { u, s, v } = svd(dense(start), Math.min(inDim, outDim));
  const first = s.length - r;
  const b = Float32Array.from({ length: outDim * r }, (_, i) => {
    const k = first + (i % r);
    return at(u.data, Math.floor(i / r) * u.cols + k) * at(s, k);
  });
  const a = Float32Array.from({ length: r * inDim }, (_, i) => {
    return at(v.data, (i % inDim) * v.cols + first + Math.floor(i / inDim));
  });
  return residual({ ...start, scale: 1 }, { a, b });
}

/**
 * A and B in orthogonal subspaces, so that B A = 0 though neither is: Q [r, r] is a random rotation, A is
 * made of its odd rows
 * and B of its even rows. Reference: peft/tuners/lora/layer.py orthogonal_init
 */
export function orthogonal({ r, inDim, outDim, random }: Start): Pair {
  const q = qr({ rows: r, cols: r, data: Float64Array.from({ length: r * r }, () => normal(random)) }, r).q
    .data;
  const mix = (parity: 0 | 1): Float64Array => {
    const out = new Float64Array(r); // one random combination of every other row
    for (let h = 0; h < r / 2; h++) {
      const row = 2 * h + parity;
      addTimes(out, normal(random) / 10, q.subarray(row * r, (row + 1) * r));
    }
    return out;
  };
  const a = new Float32Array(r * inDim);
  for (let i = 0; i < inDim; i++) {
    for (const [k, x] of mix(0).entries()) a[k * inDim + i] = x;
  }
  const b = new Float32Array(outDim * r);
  for (let o = 0; o < outDim; o++) b.set(mix(1), o * r);
  return { a, b };
}

/** What `initLoraWeights: false` leaves: A and B as torch makes linear layers, or embeddings (normal). */
export function untouched({ r, inDim, outDim, random }: Start, kind: "linear" | "embedding"): Pair {
  const draw = (length: number, fan: number): Float32Array =>
    Float32Array.from({ length }, () =>
      kind === "embedding" ? normal(random) : (2 * uniform(random) - 1) / Math.sqrt(fan),
    );
  return { a: draw(r * inDim, inDim), b: draw(outDim * r, r) };
}

/** W - s B A, stored as W is. */
export function residual(
  { weight, inDim, outDim, transposed, r, scale }: Start,
  { a, b }: Pair,
): Float32Array {
  const out = Float32Array.from(weight);
  const row = new Float64Array(inDim);
  for (let o = 0; o < outDim; o++) {
    row.fill(0);
    for (let k = 0; k < r; k++)
      addTimes(row, scale * at(b, o * r + k), a.subarray(k * inDim, (k + 1) * inDim));
    for (const [i, x] of row.entries()) {
      const place = transposed ? i * outDim + o : o * inDim + i;
      out[place] = at(weight, place) - x;
    }
  }
  return out;
}

/** DoRA's magnitude: ||W + s B A|| per output row [out]; no pair: B A is zero. */
export function magnitude(start: Start, pair?: Pair): Float32Array {
  const { inDim, outDim, transposed } = start;
  const weight = pair === undefined ? start.weight : residual({ ...start, scale: -start.scale }, pair);
  return Float32Array.from({ length: outDim }, (_, o) => {
    let sum = 0;
    for (let i = 0; i < inDim; i++) sum += at(weight, transposed ? i * outDim + o : o * inDim + i) ** 2;
    return Math.sqrt(sum);
  });
}

/** Parameters by their keys in a layer. */
export function prepared(
  keys: readonly [a: string, b: string],
  pair: Pair | undefined,
): Prepared["parameters"] {
  return pair === undefined ? {} : { [keys[0]]: pair.a, [keys[1]]: pair.b };
}
