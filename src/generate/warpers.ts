import type { Rule } from "./rule.js";
import { kthLargest, largest, topK as selectTop, sumExp } from "./select.js";

const NEVER = Number.NEGATIVE_INFINITY;

/** scores / t. */
export function temperature(t: number): Rule {
  const divisor = Math.fround(t);
  return (_ids, scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! / divisor;
  };
}

/** The k largest stay, and whatever equals the last of them. */
export function topK(k: number, keep = 1): Rule {
  return (_ids, scores) => {
    const wanted = Math.max(k, keep);
    if (wanted >= scores.length) return;
    const lowest = kthLargest(scores, wanted);
    for (let i = 0; i < scores.length; i++) if (scores[i]! < lowest) scores[i] = NEVER;
  };
}

/**
 * The smallest set of largest tokens whose probability reaches p stays. 1904.09751.
 * Values are sorted, not positions: only what top-k left, with the native sort of numbers. Of equal scores
 * the later positions stay. Reference: TopPLogitsWarper
 */
export function topP(p: number, keep = 1): Rule {
  const limit = Math.fround(1 - p);
  return (_ids, scores) => {
    const sorted = withoutBanned(scores).sort();
    const removable = sorted.length - Math.min(keep, sorted.length);
    const most = sorted.at(-1) ?? 0;
    const total = sumExp(sorted, most);
    let removed = 0;
    let below = 0;
    for (; removed < removable; removed++) {
      below += Math.exp(sorted[removed]! - most) / total;
      if (Math.fround(below) > limit) break;
    }
    removeLowest(scores, sorted, removed);
  };
}

function withoutBanned(scores: Float32Array): Float32Array {
  const left = new Float32Array(scores.length);
  let count = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i] !== NEVER) left[count++] = scores[i]!;
  return left.subarray(0, count);
}

/**
 * Takes away what stands among the first `count` of `sorted`; of those equal to the last, the first
 * positions.
 */
function removeLowest(scores: Float32Array, sorted: Float32Array, count: number): void {
  if (count === 0) return;
  const last = sorted[count - 1]!;
  let equals = count - sorted.indexOf(last);
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! < last || (scores[i] === last && equals-- > 0)) scores[i] = NEVER;
  }
}

/** Tokens less than p times as probable as the best one go. 2407.01082. */
export function minP(p: number, keep = 1): Rule {
  return (_ids, scores) => {
    const most = largest(scores);
    const total = sumExp(scores, most);
    const limit = Math.fround(Math.fround(1 / total) * Math.fround(p));
    const kept = keep > 1 ? new Set(selectTop(scores, keep).indices) : undefined;
    for (let i = 0; i < scores.length; i++) {
      const probability = Math.fround(Math.exp(scores[i]! - most) / total);
      if (probability < limit && !kept?.has(i)) scores[i] = NEVER;
    }
  };
}

/**
 * Tokens whose surprise lies nearest to the entropy stay, until their probability reaches `mass`. 2202.00666.
 * distance = |-log p - entropy|. Reference: TypicalLogitsWarper
 */
export function typicalP(mass: number, keep = 1): Rule {
  return (_ids, scores) => {
    const most = largest(scores);
    const total = sumExp(scores, most);
    const logTotal = Math.log(total);
    const { distances, order } = byDistance(scores, most, logTotal);
    if (order.length === 0) return;
    let sum = 0;
    let last = 0;
    for (; last < order.length - 1; last++) {
      sum += Math.exp(scores[order[last]!]! - most) / total;
      if (Math.fround(sum) >= Math.fround(mass)) break;
    }
    const farthest = distances[order[last]!]!;
    for (let rank = keep; rank < order.length; rank++) {
      if (distances[order[rank]!]! > farthest) scores[order[rank]!] = NEVER;
    }
  };
}

/** Positions of possible tokens by their distance from the entropy, nearest first; of equals the first. */
function byDistance(
  scores: Float32Array,
  most: number,
  logTotal: number,
): { distances: Float32Array; order: Uint32Array } {
  const distances = new Float32Array(scores.length);
  const entropy = entropyOf(scores, most + logTotal);
  // sorts numbers that hold both: the bits of a distance (never negative, so they rank as it does), then the
  // place
  const bits = new Uint32Array(distances.buffer);
  const keys = new Float64Array(scores.length);
  let count = 0;
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] === NEVER) continue;
    distances[i] = Math.abs(most + logTotal - scores[i]! - entropy);
    keys[count++] = bits[i]! * 2 ** 21 + i;
  }
  const order = new Uint32Array(count);
  const sorted = keys.subarray(0, count).sort();
  for (let rank = 0; rank < count; rank++) order[rank] = sorted[rank]! % 2 ** 21;
  return { distances, order };
}

/** -sum p log p, where log p = score - logSum. */
function entropyOf(scores: Float32Array, logSum: number): number {
  let entropy = 0;
  for (let i = 0; i < scores.length; i++) {
    const log = scores[i]! - logSum;
    if (log !== NEVER) entropy -= log * Math.exp(log);
  }
  return entropy;
}
