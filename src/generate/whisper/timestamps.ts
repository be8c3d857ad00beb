import type { Rule } from "../rule.js";
import { logSoftmax } from "../select.js";
import type { WhisperGeneration } from "./config.js";

const NEVER = Number.NEGATIVE_INFINITY;

/**
 * Where times are written: the first token is one, within maxInitialTimestamp; they stand in pairs, and never
 * go back; a time comes where all of them together are likelier than the likeliest other token.
 * Reference: transformers/generation/logits_process.py, WhisperTimeStampLogitsProcessor
 * @param first how many ids stand before the answer
 */
export function timestampRule(
  { noTimestamps = 0, eos, maxInitialTimestamp }: WhisperGeneration,
  first: number,
): Rule {
  const begin = noTimestamps + 1;
  return (ids, scores) => {
    const said = ids.subarray(first);
    const isTime = (place: number): boolean => (said[said.length + place] ?? -1) >= begin;
    scores[noTimestamps] = NEVER;
    const isPair = said.length < 2 || isTime(-2);
    if (isTime(-1)) {
      if (isPair) scores.fill(NEVER, begin);
      else scores.fill(NEVER, 0, eos);
    }
    const last = said.findLast((id) => id >= begin);
    const least = last === undefined ? begin : last + (isTime(-1) && !isPair ? 0 : 1);
    scores.fill(NEVER, begin, Math.max(begin, least));
    if (said.length === 0) {
      scores.fill(NEVER, 0, begin);
      if (maxInitialTimestamp !== undefined) scores.fill(NEVER, begin + maxInitialTimestamp + 1);
    }
    if (isLikelierTime(scores, begin)) scores.fill(NEVER, 0, begin);
  };
}

/** Whether the times together are likelier than the likeliest other token. */
function isLikelierTime(scores: Float32Array, begin: number): boolean {
  const logs = scores.slice();
  logSoftmax(logs);
  let [times, text] = [0, NEVER];
  for (let i = 0; i < begin; i++) text = Math.max(text, logs[i] ?? NEVER);
  for (let i = begin; i < logs.length; i++) times += Math.exp(logs[i] ?? NEVER);
  return Math.log(times) > text;
}
