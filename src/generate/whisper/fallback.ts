import { deflatedSize } from "../../platform.js";
import { at } from "../../present.js";

/**
 * Whether tokens, as bytes, shrink by more than so many times when they are compressed: the answer repeats
 * itself.
 * @param most the ratio, 1.35 in Whisper's paper
 */
export function isTooRegular(ids: readonly number[], vocabSize: number, most: number): boolean {
  const width = Math.floor(Math.log2(vocabSize) / 8) + 1;
  const bytes = Uint8Array.from({ length: ids.length * width }, (_, i) =>
    Math.floor(at(ids, Math.floor(i / width)) / 256 ** (i % width)),
  );
  return bytes.length / deflatedSize(bytes) > most;
}

/**
 * The mean log-probability of the tokens of one answer.
 * @param logs log-probabilities of all tokens, step by step
 */
export function meanLogProb(logs: readonly Float32Array[], ids: readonly number[]): number {
  const steps = Math.min(logs.length, ids.length);
  const said = ids.slice(ids.length - steps);
  const sum = said.reduce((total, id, i) => total + (logs[i]?.[id] ?? 0), 0);
  return sum / Math.max(1, said.length);
}
