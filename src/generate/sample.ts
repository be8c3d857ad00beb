import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { joined, option, words } from "../words.js";
import { uniform } from "./random.js";
import type { Rule } from "./rule.js";
import { largest, largestAt, sumExp, topK } from "./select.js";

/** The token whose share of the probability holds u, a number in [0, 1). */
export function sampleToken(scores: Float32Array, u: number): number {
  const most = largest(scores);
  if (most === Number.NEGATIVE_INFINITY) nothingLeft();
  const target = u * sumExp(scores, most);
  let below = 0;
  let last = 0;
  for (let i = 0; i < scores.length; i++) {
    const weight = Math.exp(scores[i]! - most);
    if (weight === 0) continue;
    below += weight;
    if (below > target) return i;
    last = i;
  }
  return last; // rounding only
}

/**
 * A token drawn by scores / temperature, and its log-probability by these alone; `rules` then take tokens
 * away. The scores stay as they are: `scratch` is written.
 */
export function drawToken(
  scores: Float32Array,
  temperature: number,
  rules: readonly Rule[],
  scratch: Float32Array,
  at: { readonly seed: number; readonly row: number; readonly step: number },
): { readonly token: number; readonly logProb: number } {
  for (let i = 0; i < scores.length; i++) scratch[i] = scores[i]! / temperature;
  const most = largest(scratch);
  const logSum = most + Math.log(sumExp(scratch, most));
  for (const rule of rules) rule(NO_IDS, scratch, 0);
  const token = sampleToken(scratch, uniform(at.seed, at.row, at.step));
  return { token, logProb: scores[token]! / temperature - logSum };
}

const NO_IDS = new Int32Array(0);

/** The next token of one row: the best one, or a draw that depends on (seed, row, step) alone. */
export function chooseToken(
  scores: Float32Array,
  sampling: { doSample: boolean },
  seed: number,
  row: number,
  step: number,
): number {
  return sampling.doSample ? sampleToken(scores, uniform(seed, row, step)) : largestAt(scores);
}

/**
 * `k` positions drawn one after another, without putting back, with probability softmax(scores), in the order
 * drawn. Where fewer are possible, the best of the others follow.
 */
export function sampleDistinct(
  scores: Float32Array,
  k: number,
  seed: number,
  row: number,
  step: number,
): number[] {
  const { places, weights } = possible(scores);
  const chosen: number[] = [];
  while (chosen.length < Math.min(k, places.length)) {
    const drawn = drawFrom(weights, uniform(seed, row, step, chosen.length));
    weights[drawn] = 0;
    chosen.push(at(places, drawn));
  }
  if (chosen.length === k) return chosen;
  const taken = new Set(chosen);
  const others = [...topK(scores, k + chosen.length).indices].filter((i) => !taken.has(i));
  return [...chosen, ...others.slice(0, k - chosen.length)];
}

/** Places that have a probability, and exp(score - largest) there. */
function possible(scores: Float32Array): { places: Int32Array; weights: Float64Array } {
  const most = largest(scores);
  if (most === Number.NEGATIVE_INFINITY) nothingLeft();
  const places = new Int32Array(scores.length);
  const weights = new Float64Array(scores.length);
  let count = 0;
  for (let i = 0; i < scores.length; i++) {
    const weight = Math.exp(scores[i]! - most);
    if (weight === 0) continue;
    places[count] = i;
    weights[count++] = weight;
  }
  return { places: places.subarray(0, count), weights: weights.subarray(0, count) };
}

/** A place by its weight; what has weight 0 is never drawn. */
function drawFrom(weights: Float64Array, u: number): number {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i]!;
  let below = 0;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    below += weights[i]!;
    if (below > u * total) return i;
    last = i;
  }
  return last; // rounding only
}

function nothingLeft(): never {
  throw new PeftError("generation", {
    what: "No token is left to draw.",
    why: words`the rules (${joined(["suppressTokens", "badWordsIds", "noRepeatNgramSize", "minLength"].map((name) => option(name)))}) forbid all of them.`,
    fix: "loosen these settings.",
  });
}
