import type { Aligned, Change } from "./aligned.js";
import { cut, mapChars, prepend, replaceMatches, spaceAfter, spaceBefore, transform } from "./aligned.js";
import { byteChars } from "./bytes.js";
import { parseCharsmap, precompiled } from "./charsmap.js";
import type { Json } from "./json.js";
import { asString, booleanOr, type PartTable, readPart, readParts } from "./json.js";
import { compilePattern } from "./library.js";

export type Normalizer = (a: Aligned) => Aligned;

const whiteSpace = /^\p{White_Space}$/u;
/**
 * Tables of Unicode differ in age: a few hundred rare marks and punctuation signs that came after Rust's
 * tables may be classed otherwise here (every code point was compared). These format characters are the
 * ones that matter: kept there.
 */
const laterFormat = /^[\u0890\u0891\u08e2\u{110cd}\u{13430}-\u{1343f}]$/u;
const control = /^[\p{Cc}\p{Cf}\p{Co}\p{Cs}]$/u;
/** Rust's ranges; the one from 2b920 is a slip of theirs that ids depend on. */
const chinese =
  /^[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]$/u;
/** A character that may join the one before it: marks, and vowels and finals of Hangul. */
const joins = /^[\p{M}\u1160-\u11ff]/u;
const ascii = /^\p{ASCII}*$/u;

/** Reads the normalizer of tokenizer.json. Throws `tokenizer` for an unknown type. */
export function readNormalizer(value: unknown, where: string): Normalizer {
  return readPart(value, where, table) ?? ((a) => a);
}

const table: PartTable<Normalizer> = {
  BertNormalizer: bert,
  ByteLevel: () => (a) => mapChars(a, byteChars),
  Lowercase: () => lowercase,
  NFC: () => (a) => unicode(a, "NFC"),
  NFD: () => (a) => unicode(a, "NFD"),
  NFKC: () => (a) => unicode(a, "NFKC"),
  NFKD: () => (a) => unicode(a, "NFKD"),
  Nmt: () => nmt,
  Precompiled: (c, where) => {
    const field = `${where}.precompiled_charsmap`;
    return precompiled(parseCharsmap(asString(c["precompiled_charsmap"], field), field));
  },
  Prepend: (c, where) => {
    const text = asString(c["prepend"], `${where}.prepend`);
    return (a) => prepend(a, text);
  },
  Replace: (c, where) => {
    const pattern = compilePattern(c["pattern"], `${where}.pattern`);
    const content = asString(c["content"], `${where}.content`);
    return (a) => replaceMatches(a, pattern, content);
  },
  Sequence: (c, where) => {
    const steps = readParts(c, "normalizers", where, readNormalizer);
    return (a) => steps.reduce((text, step) => step(text), a);
  },
  Strip: (c) => (a) => strip(a, booleanOr(c["strip_left"], true), booleanOr(c["strip_right"], true)),
  StripAccents: () => (a) => mapChars(a, (char) => (/^\p{M}$/u.test(char) ? "" : char)),
  // Not in tokenizer.json: tokenizers of letters that write texts in upper case (letters.ts).
  Uppercase: () => (a) => mapChars(a, (char) => char.toUpperCase()),
};

/** Character by character, as Rust does: no final sigma. */
function lowercase(a: Aligned): Aligned {
  return mapChars(a, (char) => char.toLowerCase());
}

function bert(c: Json): Normalizer {
  const lower = booleanOr(c["lowercase"], true);
  const accents = booleanOr(c["strip_accents"], lower);
  const clean = booleanOr(c["clean_text"], true);
  const split = booleanOr(c["handle_chinese_chars"], true);
  return (a) => {
    let out = a;
    if (clean) out = mapChars(out, cleanChar);
    if (split) out = mapChars(out, (char) => (chinese.test(char) ? ` ${char} ` : char));
    if (accents) out = mapChars(unicode(out, "NFD"), (char) => (/^\p{Mn}$/u.test(char) ? "" : char));
    return lower ? lowercase(out) : out;
  };
}

function cleanChar(char: string): string {
  if (char === "\t" || char === "\n" || char === "\r") return " ";
  if (char === "\0" || char === "\ufffd") return "";
  if (control.test(char) && !laterFormat.test(char)) return "";
  return whiteSpace.test(char) ? " " : char;
}

/**
 * Normal forms of Unicode, segment by segment, with the spans that Rust gives decomposed and composed
 * characters.
 */
function unicode(a: Aligned, form: "NFC" | "NFD" | "NFKC" | "NFKD"): Aligned {
  if (ascii.test(a.text) || a.text.normalize(form) === a.text) return a;
  const decomposed = form.endsWith("C") ? (form === "NFC" ? "NFD" : "NFKD") : form;
  const changes: Change[] = [];
  for (const segment of segments(a.text)) {
    const parts: Queues = new Map();
    for (const char of segment) {
      for (const [i, part] of [...char.normalize(decomposed)].entries()) put(parts, part, i === 0 ? 0 : 1);
    }
    for (const char of segment.normalize(form)) {
      const from = decomposed === form ? [char] : [...char.normalize("NFD")];
      const sum = from.reduce((total, part) => total + take(parts, part), 0);
      changes.push([char, sum - (from.length - 1)]);
    }
  }
  return transform(a, changes);
}

/** Changes of a segment's characters, by character, those that come first taken first. */
type Queues = Map<string, { readonly changes: Change[1][]; taken: number }>;

function put(queues: Queues, char: string, change: Change[1]): void {
  const queue = queues.get(char);
  if (queue) queue.changes.push(change);
  else queues.set(char, { changes: [change], taken: 0 });
}

function take(queues: Queues, char: string): Change[1] {
  const queue = queues.get(char);
  return queue?.changes[queue.taken++] ?? 1;
}

function* segments(text: string): Generator<string> {
  let segment = "";
  for (const char of text) {
    if (segment !== "" && !joins.test(char.normalize("NFKD"))) {
      yield segment;
      segment = "";
    }
    segment += char;
  }
  if (segment !== "") yield segment;
}

function strip(a: Aligned, left: boolean, right: boolean): Aligned {
  const from = left ? spaceAfter(a.text, 0) : 0;
  const to = right ? Math.max(from, spaceBefore(a.text, a.text.length)) : a.text.length;
  return { ...cut(a, from, to), origin: a.origin };
}

/** SentencePiece's nmt rules: control characters go, exotic spaces become spaces. */
function nmt(a: Aligned): Aligned {
  return mapChars(a, (char) => {
    if (/^\p{Cc}$/u.test(char) && !/^[\t\n\f\r]$/.test(char)) {
      return removedByNmt(char.codePointAt(0) ?? 0) ? "" : char;
    }
    return /^[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]$/.test(char) ? " " : char;
  });
}

function removedByNmt(code: number): boolean {
  return (code > 0 && code < 0x20) || code === 0x7f || code === 0x8f || code === 0x9f;
}
