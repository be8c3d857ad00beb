import { argmax } from "../argmax.js";
import { PeftError } from "../errors.js";

/** The place of the largest score. */
export function largestAt(scores: Float32Array): number {
  const best = argmax(scores);
  return Number.isNaN(scores[best]) ? notANumber() : best;
}

/** Values and positions of the largest, best first; among equals the lower position first. */
export interface Top {
  values: Float64Array;
  indices: Int32Array;
  count: number;
}

/** An empty selection of the `k` best. */
export function makeTop(k: number): Top {
  return { values: new Float64Array(k), indices: new Int32Array(k), count: 0 };
}

/** Offers one value: kept where it is among the best so far. Later equals rank behind earlier ones. */
export function offer(top: Top, value: number, index: number): void {
  const { values, indices } = top;
  const k = values.length;
  if (top.count === k && !(value > values[k - 1]!)) return;
  let place = top.count === k ? k - 1 : top.count++;
  while (place > 0 && values[place - 1]! < value) {
    values[place] = values[place - 1]!;
    indices[place] = indices[place - 1]!;
    place--;
  }
  values[place] = value;
  indices[place] = index;
}

/** The `k` largest of a list, best first, stable. */
export function topK(values: ArrayLike<number>, k: number): Top {
  const top = makeTop(Math.min(k, values.length));
  for (let i = 0; i < values.length; i++) offer(top, values[i]!, i);
  return top;
}

/**
 * The k-th largest score, by a heap of k: one pass, no sort, O(n log k).
 * Large k on large vocabularies stays cheap too, since most scores fail the first comparison.
 */
export function kthLargest(scores: Float32Array, k: number): number {
  const heap = scores.slice(0, k); // a min-heap: its root is the smallest of the k largest
  for (let i = (k >> 1) - 1; i >= 0; i--) sink(heap, i);
  for (let i = k; i < scores.length; i++) {
    const score = scores[i]!;
    if (score <= heap[0]!) continue;
    heap[0] = score;
    sink(heap, 0);
  }
  return heap[0]!;
}

function sink(heap: Float32Array, from: number): void {
  const value = heap[from]!;
  let at = from;
  for (let child = 2 * at + 1; child < heap.length; child = 2 * at + 1) {
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}

/** Largest score; NaN is an error, since every later decision would be arbitrary. */
export function largest(scores: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (score <= most) continue;
    if (Number.isNaN(score)) notANumber();
    most = score;
  }
  return most;
}

/** Sum of exp(score - most). */
export function sumExp(scores: Float32Array, most: number): number {
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp(scores[i]! - most);
  return sum;
}

/** scores = scores - most - log(sum exp(scores - most)), in place, rounded as torch rounds in f32. */
export function logSoftmax(scores: Float32Array): void {
  const most = largest(scores);
  const logSum = Math.fround(Math.log(sumExp(scores, most)));
  for (let i = 0; i < scores.length; i++) scores[i] = Math.fround(scores[i]! - most) - logSum;
}

function notANumber(): never {
  throw new PeftError("generation", {
    what: "The model's scores for the next token hold NaN.",
    why: "its weights or the adapter's are not finite, or a computation overflowed.",
    fix: "check the adapter's training (loss NaN?) or load the model with dtype: f32.",
  });
}
