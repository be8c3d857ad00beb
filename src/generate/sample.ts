import { PeftError } from "../errors.js";
import { uniform } from "./random.js";
import { argmax, largest, sumExp, topK } from "./select.js";

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

/** The next token of one row: the best one, or a draw that depends on (seed, row, step) alone. */
export function chooseToken(
  scores: Float32Array,
  sampling: { doSample: boolean },
  seed: number,
  row: number,
  step: number,
): number {
  return sampling.doSample ? sampleToken(scores, uniform(seed, row, step)) : argmax(scores);
}

/**
 * `k` positions drawn one after another, without putting back, with probability softmax(scores), in the order drawn.
 * Where fewer are possible, the best of the others follow.
 */
export function sampleDistinct(
  scores: Float32Array,
  k: number,
  seed: number,
  row: number,
  step: number,
): number[] {
  const most = largest(scores);
  if (most === Number.NEGATIVE_INFINITY) nothingLeft();
  const weights = Float64Array.from(scores, (score) => Math.exp(score - most));
  const open = Array.from(weights.keys()).filter((i) => weights[i]! > 0);
  const chosen: number[] = [];
  for (let draw = 0; draw < k && open.length > 0; draw++) {
    const place = drawFrom(open, weights, uniform(seed, row, step, draw));
    chosen.push(...open.splice(place, 1));
  }
  if (chosen.length === k) return chosen;
  const taken = new Set(chosen);
  const others = [...topK(scores, k + chosen.length).indices].filter((i) => !taken.has(i));
  return [...chosen, ...others.slice(0, k - chosen.length)];
}

function drawFrom(open: readonly number[], weights: Float64Array, u: number): number {
  let total = 0;
  for (const i of open) total += weights[i]!;
  let below = 0;
  for (let place = 0; place < open.length; place++) {
    below += weights[open[place]!]!;
    if (below > u * total) return place;
  }
  return open.length - 1; // rounding only
}

function nothingLeft(): never {
  throw new PeftError("generation", {
    what: "No token is left to draw.",
    why: "the rules (suppressTokens, badWordsIds, noRepeatNgramSize, minLength) forbid all of them.",
    fix: "loosen these settings.",
  });
}
