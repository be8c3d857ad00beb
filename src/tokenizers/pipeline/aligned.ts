import type { BoundedPattern } from "../../pattern.js";
import { at } from "../../present.js";
import { fault } from "./json.js";

/**
 * A string on its way through normalizers and pre-tokenizers, each UTF-16 unit with the span of the user's
 * string it came from. Python's fast tokenizers call it NormalizedString; ours counts UTF-16 units, as
 * JavaScript slices.
 */
export type Aligned = {
  readonly text: string;
  /** Start in the original string, one per UTF-16 unit of text. */
  readonly starts: readonly number[];
  /** End in the original string, one per UTF-16 unit of text. */
  readonly ends: readonly number[];
  /** Where this piece starts in the original string. */
  readonly origin: number;
};

/** One output character; change 0 replaces an input character, 1 is added, -n also swallows n more. */
export type Change = readonly [char: string, change: number];

/** A user's string, aligned to itself; both halves of a surrogate pair span the whole character. */
export function align(text: string): Aligned {
  const starts: number[] = [];
  const ends: number[] = [];
  let at = 0;
  for (const char of text) {
    for (let i = 0; i < char.length; i++) {
      starts.push(at);
      ends.push(at + char.length);
    }
    at += char.length;
  }
  return { text, starts, ends, origin: 0 };
}

const white = /^\p{White_Space}$/u;

/** Where the white space before a place begins. A pattern such as \s*$ would take quadratic time. */
export function spaceBefore(text: string, to: number): number {
  let from = to;
  while (from > 0 && white.test(text[from - 1] ?? "")) from--;
  return from;
}

/** Where the white space after a place ends. */
export function spaceAfter(text: string, from: number): number {
  let to = from;
  while (to < text.length && white.test(text[to] ?? "")) to++;
  return to;
}

/** The piece [from, to) of a text, in UTF-16 units. */
export function cut(a: Aligned, from: number, to: number): Aligned {
  if (from === 0 && to === a.text.length) return a;
  return {
    text: a.text.slice(from, to),
    starts: a.starts.slice(from, to),
    ends: a.ends.slice(from, to),
    origin: a.starts[from] ?? a.ends[from - 1] ?? a.origin,
  };
}

/** The span of the original string that [from, to) of the text came from. */
export function originalSpan(a: Aligned, from: number, to: number): [number, number] {
  if (to <= from) return [a.origin, a.origin];
  return [at(a.starts, from), at(a.ends, to - 1)];
}

/**
 * Rewrites a text from a list of output characters. An added character takes the span of the last character
 * consumed, as Rust's `NormalizedString::transform` has it.
 */
export function transform(a: Aligned, changes: Iterable<Change>): Aligned {
  const chars = [...a.text];
  const starts: number[] = [];
  const ends: number[] = [];
  let text = "";
  let index = 0; // of the next character to consume
  let unit = 0; // the same in UTF-16 units
  let last: [number, number] = [a.origin, a.origin];
  const consume = (): void => {
    const char = chars[index++];
    if (char === undefined) return;
    last = [a.starts[unit]!, a.ends[unit]!];
    unit += char.length;
  };
  const most = mostUnits(a);
  for (const [char, change] of changes) {
    checkGrowth(text.length, most);
    if (change <= 0) consume();
    const span = last;
    for (let i = 0; i < char.length; i++) {
      starts.push(span[0]);
      ends.push(span[1]);
    }
    text += char;
    for (let i = 0; i < -change; i++) consume();
  }
  return { text, starts, ends, origin: a.origin };
}

/** Characters that any text may grow to, and how many times its own length a longer one. */
const GROWTH = { least: 256, times: 64 };

/**
 * The most UTF-16 units that a text may grow to by rules from files. Those of real tokenizers make it a few
 * times longer; a chain of "a" -> "aa" would double it at each link.
 */
function mostUnits(a: Aligned): number {
  return grown((a.ends.at(-1) ?? a.origin) - a.origin);
}

/** What a text of some length may grow to. */
export function grown(units: number): number {
  return GROWTH.least + GROWTH.times * units;
}

export function checkGrowth(units: number, most: number): void {
  if (units > most) fault("tokenizer.json: its replacements", "make a text more than 64 times longer");
}

/** Replaces each character by none, one or more; all of them keep its span. */
export function mapChars(a: Aligned, map: (char: string) => string): Aligned {
  const starts: number[] = [];
  const ends: number[] = [];
  let text = "";
  let unit = 0;
  const most = mostUnits(a);
  for (const char of a.text) {
    const out = map(char);
    text += out;
    checkGrowth(text.length, most);
    for (let i = 0; i < out.length; i++) {
      starts.push(a.starts[unit]!);
      ends.push(a.ends[unit]!);
    }
    unit += char.length;
  }
  return { text, starts, ends, origin: a.origin };
}

/** Replaces every match of a pattern; the content takes the span of the match's last character. */
export function replaceMatches(a: Aligned, pattern: BoundedPattern, content: string): Aligned {
  const starts: number[] = [];
  const ends: number[] = [];
  let text = "";
  let at = 0;
  const most = mostUnits(a);
  const keep = (to: number): void => {
    text += a.text.slice(at, to);
    for (let i = at; i < to; i++) {
      starts.push(a.starts[i]!);
      ends.push(a.ends[i]!);
    }
  };
  for (const match of pattern.matches(a.text)) {
    if (match[0].length === 0) continue;
    keep(match.index);
    at = match.index + match[0].length;
    text += content;
    checkGrowth(text.length, most);
    for (let i = 0; i < content.length; i++) {
      starts.push(a.starts[at - 1]!);
      ends.push(a.ends[at - 1]!);
    }
  }
  if (at === 0) return a;
  keep(a.text.length);
  return { text, starts, ends, origin: a.origin };
}

/** Puts a prefix before a text; it takes the span of the first character. */
export function prepend(a: Aligned, prefix: string): Aligned {
  if (a.text.length === 0 || prefix.length === 0) return a;
  checkGrowth(a.text.length + prefix.length, mostUnits(a));
  const fill = (value: number): number[] => new Array<number>(prefix.length).fill(value);
  return {
    text: prefix + a.text,
    starts: [...fill(at(a.starts, 0)), ...a.starts],
    ends: [...fill(at(a.ends, 0)), ...a.ends],
    origin: a.origin,
  };
}
