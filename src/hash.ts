import { mix } from "./random.js";

const START = 0x811c9dc5;
const PRIME = 0x01000193;

/** FNV-1a of whole numbers, in 32 bits; `from`: the hash of what stands before them. */
export function fnv1a(numbers: ArrayLike<number>, from: number = START): number {
  let hash = from;
  for (let i = 0; i < numbers.length; i++) hash = Math.imul(hash ^ Number(numbers[i]), PRIME);
  return hash | 0;
}

/** The code units of a text. */
export function unitsOf(text: string): Uint16Array {
  return Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

/** Multipliers of the lanes of `textHash`: FNV's, and three odd numbers with as many ones as zeros. */
const LANES = [PRIME, 0x9e3779b1, 0x85ebca77, 0xc2b2ae3d];

/**
 * 128 bits of a text, in hexadecimal: a key for texts that are too long to be one. It tells apart what
 * differs by accident, and not what somebody makes to collide.
 */
export function textHash(text: string): string {
  const units = unitsOf(text);
  return LANES.map((prime) => {
    let hash = START ^ prime;
    for (const unit of units) hash = mix(Math.imul(hash, prime) ^ unit);
    return (mix(hash ^ units.length) >>> 0).toString(16).padStart(8, "0");
  }).join("");
}
