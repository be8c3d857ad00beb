import type { Budget, Found } from "./match.js";
import { Matcher } from "./match.js";
import { parsePattern } from "./parse.js";
import type { Syntax } from "./syntax.js";

export type { Budget } from "./match.js";
export { PatternBudget, PatternError } from "./syntax.js";

/** About a second's steps: a pattern of good faith takes some hundreds over a module's path. */
export function newBudget(): Budget {
  return { steps: 5_000_000 };
}

/** What a pattern matched. */
export interface Match {
  /** Where it begins, in UTF-16 units, as JavaScript counts. */
  readonly index: number;
  readonly text: string;
  /** By number from 1; undefined: it took no part. */
  readonly groups: readonly (string | undefined)[];
  readonly named: Readonly<Record<string, string | undefined>>;
}

/** A compiled regular expression. Its questions throw PatternBudget where they take too many steps. */
export interface Pattern {
  readonly source: string;
  /** At the text's start. */
  match(text: string): Match | undefined;
  /** From the text's start to its end. */
  fullMatch(text: string): Match | undefined;
  /** The first anywhere. */
  search(text: string): Match | undefined;
  /** All that do not overlap, from left to right, as re.finditer. */
  matchAll(text: string): Match[];
}

/**
 * Compiles a regular expression of Python's `re` (3.11), with its semantics to the letter. Throws
 * PatternError where Python throws re.error.
 */
export function pythonPattern(source: string, budget: Budget = newBudget()): Pattern {
  const syntax = parsePattern(source);
  const matcher = new Matcher(syntax, budget);
  const first = (text: string, how: { isFull?: boolean; isAnywhere?: boolean }): Match | undefined => {
    const read = readText(text);
    const found = matcher.find(read.codes, 0, how);
    return found === undefined ? undefined : described(found, read, syntax);
  };
  return {
    source,
    match: (text) => first(text, {}),
    fullMatch: (text) => first(text, { isFull: true }),
    search: (text) => first(text, { isAnywhere: true }),
    matchAll: (text) => {
      const read = readText(text);
      const all: Match[] = [];
      for (let from = 0, isEmptyTaken = false; from <= read.codes.length; ) {
        const found = matcher.find(read.codes, from, { isAnywhere: true, isEmptyTaken });
        if (found === undefined) break;
        all.push(described(found, read, syntax));
        from = found.end;
        isEmptyTaken = found.start === found.end;
      }
      return all;
    },
  };
}

/** A text by characters: their code points, and where each begins in UTF-16 units. */
interface Read {
  readonly text: string;
  readonly codes: readonly number[];
  readonly starts: readonly number[];
}

function readText(text: string): Read {
  const codes: number[] = [];
  const starts: number[] = [];
  let unit = 0;
  for (const char of text) {
    codes.push(char.codePointAt(0) ?? 0);
    starts.push(unit);
    unit += char.length;
  }
  starts.push(unit);
  return { text, codes, starts };
}

function described({ start, end, groups }: Found, { text, starts }: Read, { names }: Syntax): Match {
  const textOf = (range: readonly [number, number] | undefined): string | undefined =>
    range === undefined ? undefined : text.slice(starts[range[0]], starts[range[1]]);
  return {
    index: starts[start] ?? 0,
    text: text.slice(starts[start], starts[end]),
    groups: groups.slice(1).map(textOf),
    named: Object.fromEntries([...names].map(([name, i]) => [name, textOf(groups[i])])),
  };
}
