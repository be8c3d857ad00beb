import type { ErrorCode } from "./errors.js";
import { PeftError } from "./errors.js";
import { runFor } from "./platform.js";

/** A regular expression that came out of a file, and whose matching ends, whatever it is. */
export type BoundedPattern = {
  readonly source: string;
  /** All matches of a global expression; the first alone of another. */
  matches(text: string): RegExpExecArray[];
  test(text: string): boolean;
};

/** Steps of backtracking that are cheaper than the watch over them (about 0.1 ms). */
const UNWATCHED_STEPS = 1e7;
const LEAST_MS = 1000;
const MS_PER_CHARACTER = 1e-3;

/**
 * Bounds a regular expression: it runs as it is where its worst case is cheap, and under a watch that stops
 * it where it is not. Backtracking engines have no bound of their own: (a+)+$ takes 2^n steps.
 * @param where the file and field that hold it, for the error
 * @throws `code` when it takes longer than a second and a millisecond per thousand characters
 */
export function boundPattern(pattern: RegExp, where: string, code: ErrorCode): BoundedPattern {
  const worst = effortOf(pattern);
  const run = <T>(text: string, match: () => T): T => {
    if (worst.choices * (text.length + 1) ** (worst.power + worst.starts) <= UNWATCHED_STEPS) return match();
    const result = runFor(Math.ceil(LEAST_MS + text.length * MS_PER_CHARACTER), match);
    return result === undefined ? endless(pattern, text, where, code) : result.value;
  };
  return {
    source: pattern.source,
    matches: (text) => run(text, () => allMatches(pattern, text)),
    test: (text) => run(text, () => allMatches(pattern, text, 1).length > 0),
  };
}

function allMatches(pattern: RegExp, text: string, most = Number.POSITIVE_INFINITY): RegExpExecArray[] {
  const found: RegExpExecArray[] = [];
  const step = /[uv]/.test(pattern.flags) ? /[\ud800-\udbff][\udc00-\udfff]/y : undefined;
  pattern.lastIndex = 0;
  while (found.length < most) {
    const match = pattern.exec(text);
    if (match === null) break;
    found.push(match);
    if (!pattern.global) break;
    if (match[0] !== "") continue;
    if (step) step.lastIndex = match.index;
    pattern.lastIndex = match.index + (step?.test(text) ? 2 : 1);
  }
  return found;
}

function endless(pattern: RegExp, text: string, where: string, code: ErrorCode): never {
  const shown = pattern.source.length > 80 ? `${pattern.source.slice(0, 80)}...` : pattern.source;
  throw new PeftError(code, {
    what: `${where} does not come to an end on a text of ${text.length} characters: ${shown}`,
    why: "the expression can match in so many ways that trying them takes longer than a second.",
    fix: "write it without a repetition inside a repetition, such as (a+)+, or take the file from its source again.",
  });
}

type Effort = {
  /** Ways to match from one start: choices * length ** power. */
  readonly choices: number;
  readonly power: number;
  /** 1 where every place of a text may be a start. */
  readonly starts: 0 | 1;
};

/**
 * One group on the way: what its finished alternatives add up to, the open one, and the latest atom of it.
 */
type Open = { done: Ways; branch: Ways; atom: Ways };
type Ways = { choices: number; power: number };

const one: Ways = { choices: 1, power: 0 };
const none: Ways = { choices: 0, power: 0 };
const both = (a: Ways, b: Ways): Ways => ({ choices: a.choices * b.choices, power: a.power + b.power });
const either = (a: Ways, b: Ways): Ways => ({
  choices: a.choices + b.choices,
  power: Math.max(a.power, b.power),
});

/**
 * The most ways in which an expression can match. A sequence multiplies ways, an alternation adds them, a
 * quantifier chooses its count; an endless repetition of what has several ways itself has no bound.
 */
function effortOf(pattern: RegExp): Effort {
  const token =
    /\[(?:[^\]\\]|\\[\s\S])*\]|\\(?:[pPu]\{[^}]*\}|k<[^>]*>|[\s\S])|\((?:\?(?:[:=!]|<[=!]|<[^>]*>|[a-z-]*:))?|(?:[*+?]|\{\d+(?:,\d*)?\})\??|[\s\S]/g;
  const open: Open[] = [];
  let group: Open = { done: none, branch: one, atom: one };
  const close = (): Ways => either(group.done, both(group.branch, group.atom));
  for (const [part] of pattern.source.matchAll(token)) {
    if (/^(?:[*+?]|\{\d)/.test(part)) {
      group.atom = repeated(group.atom, part);
    } else if (part === "|") {
      group = { done: close(), branch: one, atom: one };
    } else if (part.startsWith("(")) {
      group.branch = both(group.branch, group.atom);
      open.push(group);
      group = { done: none, branch: one, atom: one };
    } else if (part === ")") {
      const atom = close();
      group = open.pop() ?? { done: none, branch: one, atom: one };
      group.atom = atom;
    } else {
      group.branch = both(group.branch, group.atom);
      group.atom = one;
    }
  }
  const anchored = pattern.source.startsWith("^") && !pattern.multiline && !/\|/.test(pattern.source);
  return { ...close(), starts: anchored ? 0 : 1 };
}

function repeated({ choices, power }: Ways, quantifier: string): Ways {
  const [least, most] = limitsOf(quantifier);
  if (most < Number.POSITIVE_INFINITY)
    return { choices: (most - least + 1) * choices ** most, power: power * most };
  if (choices > 1 || power > 0) return { choices: Number.POSITIVE_INFINITY, power: 0 };
  return { choices: 1, power: 1 };
}

function limitsOf(quantifier: string): [number, number] {
  if (quantifier.startsWith("?")) return [0, 1];
  const [, least, comma, most] = /^\{(\d+)(,?)(\d*)\}/.exec(quantifier) ?? [];
  if (least === undefined) return [0, Number.POSITIVE_INFINITY];
  if (comma === "") return [Number(least), Number(least)];
  return [Number(least), most === "" ? Number.POSITIVE_INFINITY : Number(most)];
}
