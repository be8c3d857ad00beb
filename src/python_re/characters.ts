import type { CharSet } from "./syntax.js";

function byExpression(expression: RegExp): CharSet {
  return (char) => expression.test(String.fromCodePoint(char));
}

/** The classes of Python's `re`: Unicode's, or ASCII's under (?a). */
export interface Classes {
  readonly digit: CharSet;
  readonly space: CharSet;
  readonly word: CharSet;
}

const isAsciiDigit: CharSet = (c) => c >= 48 && c <= 57;
const isAsciiWord: CharSet = (c) =>
  isAsciiDigit(c) || (c >= 65 && c <= 90) || c === 95 || (c >= 97 && c <= 122);
const isAsciiSpace: CharSet = (c) => c === 32 || (c >= 9 && c <= 13);
const isOtherDigit = byExpression(/\p{Nd}/u);
const isOtherWord = byExpression(/[\p{L}\p{N}]/u);
// JavaScript's \s has U+FEFF beside these.
const isOtherSpace = byExpression(/[\u0085\p{Zs}\p{Zl}\p{Zp}]/u);

export const asciiClasses: Classes = { digit: isAsciiDigit, space: isAsciiSpace, word: isAsciiWord };

export const unicodeClasses: Classes = {
  digit: (c) => (c < 128 ? isAsciiDigit(c) : isOtherDigit(c)),
  // str.isspace takes the separators U+001C to U+001F too.
  space: (c) => isAsciiSpace(c) || (c >= 0x1c && c <= 0x1f) || (c >= 128 && isOtherSpace(c)),
  word: (c) => (c < 128 ? isAsciiWord(c) : isOtherWord(c)),
};

export const anyChar: CharSet = () => true;
export const anyButNewline: CharSet = (char) => char !== 10;

export function complement(set: CharSet): CharSet {
  return (char) => !set(char);
}

/** Whether case counts; where it does not, for all of Unicode or for ASCII alone. */
export type Casing = "exact" | "unicode" | "ascii";

function lower(char: number, casing: Casing): number {
  if (casing === "ascii") return char >= 65 && char <= 90 ? char + 32 : char;
  if (char === 0x130) return 105; // Python lowers İ to one character
  const lowered = String.fromCodePoint(char).toLowerCase();
  return lowered.codePointAt(0) ?? char;
}

function codeOf(char: string): number {
  return char.codePointAt(0) ?? 0;
}

/** What all cases of a letter have in common: "k", "K" and the Kelvin sign; "ς", "σ" and "Σ". */
export function foldCase(char: number, casing: Casing): string {
  const text = String.fromCodePoint(casing === "exact" ? char : lower(char, casing));
  return casing === "unicode" ? text.toUpperCase() : text;
}

export function literal(char: number, casing: Casing): CharSet {
  if (casing === "exact") return (c) => c === char;
  const folded = foldCase(char, casing);
  return (c) => foldCase(c, casing) === folded;
}

export function range(from: number, to: number, casing: Casing): CharSet {
  const within: CharSet = (c) => c >= from && c <= to;
  if (casing === "exact") return within;
  return (c) => {
    const lowered = lower(c, casing);
    const [upper = lowered, ...more] = [...String.fromCodePoint(lowered).toUpperCase()].map(codeOf);
    const isCased = more.length === 0 && (casing === "unicode" || upper < 128);
    return within(lowered) || (isCased && (within(upper) || within(lower(upper, casing))));
  };
}
