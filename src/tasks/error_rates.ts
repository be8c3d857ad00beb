import { PeftError } from "../errors.js";
import { at } from "../present.js";

/** How a text differs from what was said, counted in words or characters. */
export interface ErrorCounts {
  readonly hits: number;
  readonly substitutions: number;
  readonly deletions: number;
  readonly insertions: number;
}

/** Error rates of texts; 0 is best. Reference: jiwer */
export interface ErrorRates extends ErrorCounts {
  /** (S + D + I) / (H + S + D), of words: above 1 where much is added. */
  readonly wer: number;
  /** (S + D + I) / (H + S + D + I): the share of wrong words in all. */
  readonly mer: number;
  /** 1 - H^2 / (words said * words written): information lost. */
  readonly wil: number;
}

/** What is done to a text before it is compared. */
export type NormalizeText = (text: string) => string;

/**
 * Error rates over words of all texts together.
 * @param predictions what was written
 * @param references what was said
 * @throws "option" where there are not as many of both
 * @example
 * ```ts
 * import { wordErrors } from "peft.js";
 *
 * const { wer } = wordErrors(["the cat sat on mat"], ["the cat sat on the mat"]); // 1 / 6
 * ```
 */
export function wordErrors(
  predictions: readonly string[],
  references: readonly string[],
  normalize: NormalizeText = (text) => text,
): ErrorRates {
  const words = (text: string): string[] =>
    normalize(text)
      .split(/\s+/)
      .filter((word) => word !== "");
  const counts = countAll(predictions.map(words), references.map(words));
  const { hits, substitutions, deletions, insertions } = counts;
  const [said, written] = [hits + substitutions + deletions, hits + substitutions + insertions];
  const wrong = substitutions + deletions + insertions;
  return {
    ...counts,
    wer: share(wrong, said),
    mer: share(wrong, said + insertions),
    wil: wrong === 0 ? 0 : 1 - share(hits, said) * share(hits, written),
  };
}

/** The word error rate: wrong, missing and added words by words said. */
export function wer(
  predictions: readonly string[],
  references: readonly string[],
  normalize?: NormalizeText,
): number {
  return wordErrors(predictions, references, normalize).wer;
}

/** The character error rate: the same of characters. */
export function cer(
  predictions: readonly string[],
  references: readonly string[],
  normalize: NormalizeText = (text) => text,
): number {
  const characters = (text: string): string[] => [...normalize(text).trim()];
  const { hits, substitutions, deletions, insertions } = countAll(
    predictions.map(characters),
    references.map(characters),
  );
  return share(substitutions + deletions + insertions, hits + substitutions + deletions);
}

/** Nothing was said: whatever was written is wrong. */
function share(part: number, whole: number): number {
  return part === 0 ? 0 : part / Math.max(1, whole);
}

function countAll(
  predictions: readonly (readonly string[])[],
  references: readonly (readonly string[])[],
): ErrorCounts {
  if (predictions.length !== references.length)
    throw new PeftError("option", {
      what: `${predictions.length} texts beside ${references.length} references.`,
      why: "each text is compared with the reference at its place.",
      fix: "give as many of both.",
    });
  const all = predictions.map((prediction, i) => countErrors(prediction, at(references, i)));
  const sum = (key: keyof ErrorCounts): number => all.reduce((total, counts) => total + counts[key], 0);
  return {
    ...{ hits: sum("hits"), substitutions: sum("substitutions") },
    ...{ deletions: sum("deletions"), insertions: sum("insertions") },
  };
}

/** Of the shortest ways from one text to the other, one that keeps what is equal (Levenshtein). */
export function countErrors(written: readonly string[], said: readonly string[]): ErrorCounts {
  let distances = Int32Array.from({ length: written.length + 1 }, (_, j) => j);
  let kept = new Int32Array(written.length + 1);
  for (const [i, word] of said.entries()) {
    const [nextDistances, nextKept] = [
      new Int32Array(written.length + 1),
      new Int32Array(written.length + 1),
    ];
    nextDistances[0] = i + 1;
    for (let j = 1; j <= written.length; j++) {
      const isHit = word === written[j - 1];
      const replaced = at(distances, j - 1) + (isHit ? 0 : 1);
      const [missing, added] = [at(distances, j) + 1, at(nextDistances, j - 1) + 1];
      const best = Math.min(replaced, missing, added);
      nextDistances[j] = best;
      if (best === replaced) nextKept[j] = at(kept, j - 1) + (isHit ? 1 : 0);
      else nextKept[j] = best === missing ? at(kept, j) : at(nextKept, j - 1);
    }
    [distances, kept] = [nextDistances, nextKept];
  }
  const [distance, hits] = [at(distances, -1), at(kept, -1)];
  const substitutions = said.length + written.length - 2 * hits - distance;
  return {
    ...{ hits, substitutions },
    deletions: said.length - hits - substitutions,
    insertions: written.length - hits - substitutions,
  };
}
