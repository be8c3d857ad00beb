import type { BoundedPattern } from "../../pattern.js";
import type { Aligned } from "./aligned.js";
import { cut, mapChars, prepend } from "./aligned.js";
import { byteChars } from "./bytes.js";
import type { Json } from "./json.js";
import { booleanOr, fault, type PartTable, readPart, readParts, shown, stringOr } from "./json.js";
import { compilePattern } from "./library.js";

export type PreTokenizer = (pieces: readonly Aligned[]) => Aligned[];
type Span = { from: number; to: number; match: boolean };
type Behavior = "removed" | "isolated" | "mergedwithprevious" | "mergedwithnext" | "contiguous";

/**
 * GPT-2's pattern, with the white space of Unicode as Rust has it (JavaScript's \s adds U+FEFF, lacks
 * U+0085).
 */
const gpt2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const punctuation = /[\p{P}!-/:-@[-`{-~]/gu;
const spaces = /\p{White_Space}/gu;
const notWords = /[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]/u;
const words =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]+|(?:(?!\u200c|\u200d)[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{White_Space}])+/gu;

/** Whether a character counts as part of a word, for added tokens that are `single_word`. */
export function isWordChar(char: string): boolean {
  return !notWords.test(char);
}

/** Reads the pre-tokenizer of tokenizer.json. Throws `tokenizer` for an unknown type. */
export function readPreTokenizer(value: unknown, where: string): PreTokenizer {
  return readPart(value, where, table) ?? ((pieces) => [...pieces]);
}

const table: PartTable<PreTokenizer> = {
  BertPreTokenizer: () => (pieces) =>
    pieces
      .flatMap((a) => split(a, matches(a, spaces), "removed"))
      .flatMap((a) => split(a, matches(a, punctuation), "isolated")),
  ByteLevel: byteLevel,
  CharDelimiterSplit: (c, where) => {
    const pattern = compilePattern({ String: c["delimiter"] }, `${where}.delimiter`);
    return each((a) => split(a, matches(a, pattern), "removed"));
  },
  Digits: (c) => {
    const behavior = booleanOr(c["individual_digits"], false) ? "isolated" : "contiguous";
    return each((a) => split(a, matches(a, /\p{N}/gu), behavior));
  },
  FixedLength: (c, where) => {
    const length = Number(c["length"]);
    if (!(length >= 1)) fault(`${where}.length`, "must be a number of characters, 1 or more");
    const pattern = new RegExp(`[^]{1,${Math.floor(Math.min(length, 1e6))}}`, "gu");
    return each((a) => split(a, matches(a, pattern), "isolated"));
  },
  Metaspace: metaspace,
  Punctuation: (c, where) => {
    const behavior = readBehavior(c["behavior"], `${where}.behavior`);
    return each((a) => split(a, matches(a, punctuation), behavior));
  },
  Sequence: (c, where) => {
    const steps = readParts(c, "pretokenizers", where, readPreTokenizer);
    return (pieces) => steps.reduce((texts, step) => step(texts), [...pieces]);
  },
  Split: (c, where) => {
    const pattern = compilePattern(c["pattern"], `${where}.pattern`);
    const behavior = readBehavior(c["behavior"], `${where}.behavior`);
    const invert = booleanOr(c["invert"], false);
    return each((a) => split(a, invert ? inverted(matches(a, pattern)) : matches(a, pattern), behavior));
  },
  Whitespace: () => each((a) => split(a, inverted(matches(a, words)), "removed")),
  WhitespaceSplit: () => each((a) => split(a, matches(a, spaces), "removed")),
};

function each(cutUp: (a: Aligned) => Aligned[]): PreTokenizer {
  return (pieces) => pieces.flatMap(cutUp).filter(({ text }) => text !== "");
}

function byteLevel(c: Json): PreTokenizer {
  const space = booleanOr(c["add_prefix_space"], true);
  const regex = booleanOr(c["use_regex"], true);
  return each((piece) => {
    const a = space && !piece.text.startsWith(" ") ? prepend(piece, " ") : piece;
    const parts = regex ? split(a, matches(a, gpt2), "isolated") : [a];
    return parts.map((part) => mapChars(part, byteChars));
  });
}

function metaspace(c: Json, where: string): PreTokenizer {
  const mark = readMark(c, where);
  const legacy = booleanOr(c["add_prefix_space"], true) ? "always" : "never";
  const scheme = stringOr(c["prepend_scheme"], legacy);
  const cutUp = booleanOr(c["split"], true);
  const pattern = compilePattern({ String: mark }, `${where}.replacement`);
  return each((piece) => {
    let a = mapChars(piece, (char) => (char === " " ? mark : char));
    const wanted = scheme === "always" || (scheme === "first" && a.origin === 0);
    if (wanted && !a.text.startsWith(mark)) a = prepend(a, mark);
    return cutUp ? split(a, matches(a, pattern), "mergedwithnext") : [a];
  });
}

/** Metaspace's mark: one character, also in Rust. */
export function readMark(c: Json, where: string): string {
  const mark = stringOr(c["replacement"], "▁");
  return [...mark].length === 1 ? mark : fault(`${where}.replacement`, "must be one character");
}

function readBehavior(value: unknown, where: string): Behavior {
  const name = stringOr(value, "isolated").toLowerCase();
  const known = Object.keys(behaviors).find((behavior): behavior is Behavior => behavior === name);
  return known ?? fault(`${where} ${shown(name)}`, "is unknown");
}

/** The whole text as spans, those that match a pattern and those between. */
function matches(a: Aligned, pattern: RegExp | BoundedPattern): Span[] {
  const spans: Span[] = [];
  let at = 0;
  const found = pattern instanceof RegExp ? a.text.matchAll(pattern) : pattern.matches(a.text);
  for (const { index, 0: text } of found) {
    if (text.length === 0) continue;
    if (index > at) spans.push({ from: at, to: index, match: false });
    at = index + text.length;
    spans.push({ from: index, to: at, match: true });
  }
  if (at < a.text.length) spans.push({ from: at, to: a.text.length, match: false });
  return spans;
}

function inverted(spans: readonly Span[]): Span[] {
  return spans.map((span) => ({ ...span, match: !span.match }));
}

/** Cuts a text at its matches; what becomes of a match is the behavior's business. */
function split(a: Aligned, spans: readonly Span[], behavior: Behavior): Aligned[] {
  return behaviors[behavior](spans).map(({ from, to }) => cut(a, from, to));
}

const behaviors: { [B in Behavior]: (spans: readonly Span[]) => Span[] } = {
  removed: (spans) => spans.filter((span) => !span.match),
  isolated: (spans) => [...spans],
  contiguous: (spans) => joinWhere(spans, (before, span) => before.match === span.match),
  mergedwithprevious: (spans) => joinWhere(spans, (before, span) => span.match && !before.match),
  mergedwithnext: (spans) =>
    joinWhere([...spans].reverse(), (after, span) => span.match && !after.match).reverse(),
};

/**
 * Joins each span to its neighbour in the list where told to; asked about the two as they were before
 * joining.
 */
function joinWhere(spans: readonly Span[], told: (neighbour: Span, span: Span) => boolean): Span[] {
  const out: Span[] = [];
  spans.forEach((span, i) => {
    const last = out.at(-1);
    const neighbour = spans[i - 1];
    if (last && neighbour && told(neighbour, span)) {
      last.from = Math.min(last.from, span.from);
      last.to = Math.max(last.to, span.to);
    } else {
      out.push({ ...span });
    }
  });
  return out;
}
