import { at } from "../present.js";
import type { Decoding } from "./resolve.js";
import type { Rule } from "./rule.js";
import { minP, temperature, topK, topP, typicalP } from "./warpers.js";

const NEVER = Number.NEGATIVE_INFINITY;

/**
 * Scores of tokens that occurred: s < 0 ? s * penalty : s / penalty. 1909.05858.
 * Padding in front of a prompt does not count. Reference: RepetitionPenaltyLogitsProcessor
 */
export function repetitionPenalty(penalty: number): Rule {
  const factor = Math.fround(penalty);
  return (ids, scores, padding) => {
    for (const id of new Set(ids.subarray(padding))) {
      if (id < 0 || id >= scores.length) continue;
      const score = at(scores, id);
      scores[id] = score < 0 ? score * factor : score / factor;
    }
  };
}

/** No n-gram twice, padding counted: bans what followed the last n - 1 ids before. */
export function noRepeatNgram(size: number): Rule {
  return (ids, scores) => {
    const suffix = ids.length + 1 - size; // where the n-gram to be completed starts
    for (let start = 0; start + size <= ids.length; start++) {
      let same = 0;
      while (same < size - 1 && ids[start + same] === ids[suffix + same]) same++;
      const next = at(ids, start + size - 1);
      if (same === size - 1 && next < scores.length) scores[next] = NEVER;
    }
  };
}

/**
 * Bans the last id of each list where the ids before it have just come. One that is only an end token may
 * come.
 */
export function badWords(words: readonly (readonly number[])[], eos: readonly number[]): Rule {
  const banned = words.filter((word) => word.length > 1 || !eos.includes(at(word, 0)));
  return (ids, scores) => {
    for (const word of banned) {
      const before = ids.length - (word.length - 1);
      if (before < 0) continue;
      const prefix = word.slice(0, -1);
      if (prefix.every((id, i) => ids[before + i] === id)) scores[at(word, -1)] = NEVER;
    }
  };
}

/** No end token before the sequence has `minLength` ids. */
export function minLength(length: number, eos: readonly number[]): Rule {
  return (ids, scores) => {
    if (ids.length < length) ban(scores, eos);
  };
}

/** Only these tokens may come when the sequence has `length` ids. */
export function force(length: number, tokens: readonly number[]): Rule {
  return (ids, scores) => {
    if (ids.length !== length) return;
    scores.fill(NEVER);
    for (const token of tokens) scores[token] = 0;
  };
}

/** These tokens never come. */
export function suppress(tokens: readonly number[]): Rule {
  return (_ids, scores) => ban(scores, tokens);
}

/** These tokens do not come when the sequence has `length` ids. */
export function suppressAt(length: number, tokens: readonly number[]): Rule {
  return (ids, scores) => {
    if (ids.length === length) ban(scores, tokens);
  };
}

function ban(scores: Float32Array, tokens: readonly number[]): void {
  for (const token of tokens) scores[token] = NEVER;
}

/**
 * The rules that the settings switch on, in transformers' order.
 * Reference: generation/utils.py _get_logits_processor
 */
export function makeRules(d: Decoding, more: readonly Rule[] = []): Rule[] {
  const rules: (Rule | false)[] = [
    d.repetitionPenalty !== 1 && repetitionPenalty(d.repetitionPenalty),
    d.noRepeatNgramSize > 0 && noRepeatNgram(d.noRepeatNgramSize),
    d.badWords.length > 0 && badWords(d.badWords, d.eos),
    d.minLength > d.promptLength && d.eos.length > 0 && minLength(d.minLength, d.eos),
    d.forcedBos !== null && force(1, [d.forcedBos]),
    d.forcedEos.length > 0 && force(d.maxLength - 1, d.forcedEos),
    d.suppress.length > 0 && suppress(d.suppress),
    d.beginSuppress.length > 0 && suppressAt(beginIndex(d), d.beginSuppress),
  ];
  return [...rules, ...more, ...(d.doSample ? samplingRules(d) : [])].filter((rule) => rule !== false);
}

/** A forced first token pushes the beginning back by one. */
function beginIndex(d: Decoding): number {
  return d.promptLength > 1 || d.forcedBos === null ? d.promptLength : d.promptLength + 1;
}

function samplingRules(d: Decoding): (Rule | false)[] {
  // beams need one token to go on with beside every end token
  const keep = d.numBeams > 1 ? Math.max(1, d.eos.length) + 1 : 1;
  return [
    d.temperature !== 1 && temperature(d.temperature),
    d.topK > 0 && topK(d.topK, keep),
    d.topP < 1 && topP(d.topP, keep),
    d.minP !== null && minP(d.minP, keep),
    d.typicalP < 1 && typicalP(d.typicalP, keep),
  ];
}

/** Applies the rules, one after another, to one row's scores, in place. */
export function applyRules(
  rules: readonly Rule[],
  ids: Int32Array,
  scores: Float32Array,
  padding: number,
): void {
  for (const rule of rules) rule(ids, scores, padding);
}
