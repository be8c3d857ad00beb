import { at } from "../present.js";

/**
 * Philox4x32-10: a counter-based generator; the same key and counter give the same four words, in any order.
 * Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (2011).
 */
export function philox(
  key: readonly [number, number],
  counter: readonly [number, number, number, number],
): Uint32Array {
  let [k0, k1] = key;
  let [c0, c1, c2, c3] = counter;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low0 = Math.imul(0xd2511f53, c0);
    const low1 = Math.imul(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  return Uint32Array.of(c0, c1, c2, c3);
}

/** High 32 bits of the product of two words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  return aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(((middle % 65536) + aLow * bHigh) / 65536);
}

/** A number in [0, 1) with 53 random bits, for one draw of one row at one step. */
export function uniform(seed: number, row: number, step: number, draw = 0): number {
  const key = [seed | 0, Math.floor(seed / 2 ** 32) | 0] as const;
  const words = philox(key, [row, step, draw, 0x67656e]); // "gen": no other use of the seed draws here
  return ((at(words, 0) >>> 5) * 2 ** 26 + (at(words, 1) >>> 6)) / 2 ** 53;
}
