import type { Classes } from "./characters.js";
import { complement } from "./characters.js";
import type { CharSet, Place } from "./syntax.js";

/** \d, \D and the like. */
export function classOf(letter: string, { digit, space, word }: Classes): CharSet | undefined {
  const sets: Readonly<Record<string, CharSet>> = { d: digit, s: space, w: word };
  const set = Object.hasOwn(sets, letter.toLowerCase()) ? sets[letter.toLowerCase()] : undefined;
  return set === undefined || letter === letter.toLowerCase() ? set : complement(set);
}

export const textStart: Place = (before) => before === undefined;
export const lineStart: Place = (before) => before === undefined || before === 10;
export const textEnd: Place = (_, after, isBeforeLastNewline) => after === undefined || isBeforeLastNewline;
export const lineEnd: Place = (_, after) => after === undefined || after === 10;
const strictEnd: Place = (_, after) => after === undefined;

/** \A, \Z, \b and \B. */
export function placesOf({ word }: Classes): Readonly<Partial<Record<string, Place>>> {
  const isWord = (char: number | undefined): boolean => char !== undefined && word(char);
  const boundary: Place = (before, after) => isWord(before) !== isWord(after);
  // Python 3.11: in an empty text there is neither a boundary nor none.
  const noBoundary: Place = (before, after) =>
    !(before === undefined && after === undefined) && isWord(before) === isWord(after);
  return { A: textStart, Z: strictEnd, b: boundary, B: noBoundary };
}
