import { at } from "../present.js";
import type { Dense } from "./decomposition.js";
import { dense, svd } from "./decomposition.js";
import type { Approximation, Kept } from "./method.js";

/** A LoRA's factors, a [r, in] and b [out, r]. */
export interface Factors {
  readonly a: Float64Array;
  readonly b: Float64Array;
}

/** The nearest to D [out, in] of rank r: B = U S, A = V^T of the largest singular values, and zeros. */
export function nearest(d: Dense, r: number): Factors & { readonly values: Float64Array } {
  const { rows, cols } = d;
  const { u, s, v } = svd(d, Math.min(r, rows, cols));
  const [a, b] = [new Float64Array(r * cols), new Float64Array(rows * r)];
  for (const [k, value] of s.entries()) {
    for (let i = 0; i < rows; i++) b[i * r + k] = at(u.data, i * u.cols + k) * value;
    for (let j = 0; j < cols; j++) a[k * cols + j] = at(v.data, j * v.cols + k);
  }
  return { a, b, values: s };
}

/** A matrix as a LoRA. */
interface Product extends Factors {
  readonly r: number;
  /** ||D||^2 */
  readonly energy: number;
  /** ||D - B A||^2 */
  readonly lost: number;
}

/** D [out, in] as a product of low rank. Reference: peft/tuners/lora/conversion.py */
function productOf(d: Dense, kept: Kept): Product {
  const energy = d.data.reduce((sum, x) => sum + x * x, 0);
  const most = Math.min(d.rows, d.cols);
  const start = "rank" in kept ? kept.rank : Math.min(8, most);
  for (let r = start; ; r = Math.min(2 * r, most)) {
    const { a, b, values } = nearest(d, r);
    const sums = cumulated(values);
    const lost = (k: number): number => Math.max(0, energy - at(sums, k - 1));
    if ("rank" in kept) return { a, b, r, energy, lost: lost(values.length) };
    // Singular values are right to about 1e-8 of the largest.
    const found = sums.findIndex((sum) => sum >= (kept.energy - 1e-12) * energy) + 1;
    if (found === 0 && r < most) continue;
    const k = found === 0 ? most : found;
    return { ...first({ a, b }, d, r, k), r: k, energy, lost: lost(k) };
  }
}

/** Sums of the squares of the first 1, 2, ... values. */
function cumulated(values: Float64Array): Float64Array {
  let sum = 0;
  return values.map((x) => (sum += x * x));
}

/** The first k directions of r. */
function first({ a, b }: Factors, { rows, cols }: Dense, r: number, k: number): Factors {
  return {
    a: a.slice(0, k * cols),
    b: Float64Array.from({ length: rows * k }, (_, i) => at(b, Math.floor(i / k) * r + (i % k))),
  };
}

/** LoRA in place of other methods: its scale is 1, alpha being the rank. */
export const loraApproximation: Approximation = {
  site: (change, kept, kind) => {
    const { a, b, r, energy, lost } = productOf(dense(change), kept);
    const [keyA, keyB] =
      kind === "linear" ? ["lora_A.weight", "lora_B.weight"] : ["lora_embedding_A", "lora_embedding_B"];
    return {
      parameters: { [keyA]: Float32Array.from(a), [keyB]: Float32Array.from(b) },
      ...{ rank: r, energy, lost },
    };
  },
  options: (kept, ranks) => {
    if ("rank" in kept) return { r: kept.rank, loraAlpha: kept.rank };
    const pattern = Object.fromEntries(ranks);
    return { r: 1, loraAlpha: 1, rankPattern: pattern, alphaPattern: pattern };
  },
};
