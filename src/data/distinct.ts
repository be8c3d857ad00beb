import { at } from "../present.js";
import { type Sample, sequencesOf } from "./sample.js";

/** The texts of each row as numbers: equal texts are equal numbers. */
export type TextKeys = readonly (readonly number[])[];

/**
 * Those of rows whose texts are told apart within a batch: pairs and triplets, where the same text in two
 * rows would be a wrong answer of one of them. Undefined: rows are of another kind.
 */
export function textKeys(samples: readonly Sample[]): TextKeys | undefined {
  const isApart = samples.some(({ others, ...sample }) => others !== undefined && !("score" in sample));
  return isApart
    ? samples.map((sample) => sequencesOf(sample).map(({ inputIds }) => keyOf(inputIds)))
    : undefined;
}

/** Two hashes as one number of 53 bits (FNV-1a, from two starts). */
function keyOf(ids: Int32Array): number {
  let [a, b] = [0x811c9dc5, 0x9747b28c];
  for (const id of ids) {
    a = Math.imul(a ^ id, 0x01000193);
    b = Math.imul(b ^ id, 0x85ebca6b) ^ (b >>> 15);
  }
  return (a >>> 0) * 2 ** 21 + (b >>> 11);
}

/** So many rows are tried in place of one that repeats a text: where most rows are equal there is none. */
const MOST_TRIES = 1000;

/**
 * The same batches with rows exchanged, so that no text comes twice in a batch where that can be; their
 * number and sizes stay. Reference: sentence_transformers/base/sampler.py, NoDuplicatesBatchSampler, which
 * makes smaller batches in place of it
 */
export function withoutRepeats(batches: readonly (readonly number[])[], keys: TextKeys): number[][] {
  const out = batches.map((rows) => [...rows]);
  const fits = (row: number, batch: readonly number[], but: number): boolean => {
    const own = new Set(at(keys, row));
    return batch.every((other, i) => i === but || !at(keys, other).some((key) => own.has(key)));
  };
  for (const [i, batch] of out.entries())
    for (const [place, row] of batch.entries()) {
      if (fits(row, batch.slice(0, place), -1)) continue;
      const [other, there] = exchange(row, place, i);
      if (other === undefined || there === undefined) continue;
      batch[place] = at(other, there);
      other[there] = row;
    }
  return out;

  /** A place for a row in a later batch, whose row fits here; in an earlier one both must fit. */
  function exchange(row: number, place: number, i: number): [number[]?, number?] {
    const batch = at(out, i);
    let tries = 0;
    for (const [k, other] of [...out.slice(i + 1), ...out.slice(0, i)].entries())
      for (const [there, candidate] of other.entries()) {
        if (tries++ === MOST_TRIES) return [];
        const isLater = k < out.length - i - 1;
        if (fits(candidate, batch, place) && (isLater || fits(row, other, there))) return [other, there];
      }
    return [];
  }
}
