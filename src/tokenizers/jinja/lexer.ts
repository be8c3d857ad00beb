import { SPACE, trimEnd } from "./characters.js";
import { TemplateFault } from "./fault.js";
import { escapeOf } from "./values/printing.js";

/** Reference: jinja2/lexer.py, with trim_blocks and lstrip_blocks. */

export type Token = {
  readonly type: "text" | "begin" | "end" | "name" | "string" | "integer" | "float" | "operator" | "eof";
  /** The text itself; of begin and end, which tag: "{%", "{{", "%}", "}}". */
  readonly value: string;
  readonly line: number;
};

type Cursor = {
  readonly source: string;
  readonly tokens: Token[];
  at: number;
  /** The last match ended in a newline, so that a tag's indentation may be stripped. */
  lineStarting: boolean;
  counted: { at: number; line: number };
};

export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const counted = { at: 0, line: 1 };
  const cursor: Cursor = { source, tokens: [], at: 0, lineStarting: true, counted };
  while (cursor.at < source.length) readText(cursor);
  push(cursor, "eof", "");
  return cursor.tokens;
}

function push(cursor: Cursor, type: Token["type"], value: string): void {
  cursor.tokens.push({ type, value, line: lineOf(cursor) });
}

function lineOf(cursor: Cursor): number {
  const { counted, source } = cursor;
  for (; counted.at < cursor.at; counted.at++) if (source[counted.at] === "\n") counted.line++;
  return counted.line;
}

function fail(cursor: Cursor, message: string): never {
  throw new TemplateFault("syntax", message, lineOf(cursor));
}

/** Takes what a pattern matches at the cursor. */
function take(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.source)?.[0];
  if (found === undefined) return undefined;
  cursor.at += found.length;
  cursor.lineStarting = found.endsWith("\n");
  return found;
}

const space = `[${SPACE}]`;
const rawBegin = new RegExp(`\\{%[-+]?${space}*raw${space}*(?:-%\\}${space}*|%\\})`, "y");
const rawEnd = new RegExp(`\\{%([-+]?)${space}*endraw${space}*(?:\\+%\\}|-%\\}${space}*|%\\}\\n?)`, "g");
const commentEnd = new RegExp(`\\+#\\}|-#\\}${space}*|#\\}\\n?`, "g");
const blockEnd = new RegExp(`\\+%\\}|-%\\}${space}*|%\\}\\n?`, "y");
const variableEnd = new RegExp(`-\\}\\}${space}*|\\}\\}`, "y");

/** Text up to the next tag, and that tag. */
function readText(cursor: Cursor): void {
  const { source } = cursor;
  const begin = /\{[%{#]/g;
  begin.lastIndex = cursor.at;
  const found = begin.exec(source);
  if (!found) {
    push(cursor, "text", source.slice(cursor.at));
    cursor.at = source.length;
    return;
  }
  const [tag] = found;
  const text = stripped(
    source.slice(cursor.at, found.index),
    source[found.index + 2],
    tag,
    cursor.lineStarting,
  );
  if (text !== "") push(cursor, "text", text);
  cursor.at = found.index;
  if (tag === "{%" && take(cursor, rawBegin) !== undefined) {
    readRaw(cursor);
    return;
  }
  take(cursor, /\{[%{#][-+]?/y);
  if (tag !== "{#") push(cursor, "begin", tag);
  if (tag === "{#") skipComment(cursor);
  else if (tag === "{%") readTag(cursor, blockEnd, "%}");
  else readTag(cursor, variableEnd, "}}");
}

/** Text before a tag, without the white space that the tag takes. */
function stripped(text: string, sign: string | undefined, tag: string, lineStarting: boolean): string {
  if (sign === "-") return trimEnd(text);
  if (sign === "+" || tag === "{{") return text;
  const line = text.lastIndexOf("\n") + 1;
  return (line > 0 || lineStarting) && trimEnd(text.slice(line)) === "" ? text.slice(0, line) : text;
}

function readRaw(cursor: Cursor): void {
  rawEnd.lastIndex = cursor.at;
  const found = rawEnd.exec(cursor.source);
  if (!found) fail(cursor, "Missing end of raw directive");
  const text = stripped(cursor.source.slice(cursor.at, found.index), found[1], "{%", cursor.lineStarting);
  if (text !== "") push(cursor, "text", text);
  cursor.at = found.index + found[0].length;
  cursor.lineStarting = found[0].endsWith("\n");
}

function skipComment(cursor: Cursor): void {
  commentEnd.lastIndex = cursor.at;
  const found = commentEnd.exec(cursor.source);
  if (!found) fail(cursor, "Missing end of comment tag");
  cursor.at = found.index + found[0].length;
  cursor.lineStarting = found[0].endsWith("\n");
}

const white = new RegExp(`${space}+`, "y");
const float = /(?<!\.)\d+(?:_\d+)*(?:(?:\.\d+(?:_\d+)*)?e[+-]?\d+(?:_\d+)*|\.\d+(?:_\d+)*)/iy;
const integer = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const name = /[\p{L}\p{N}\p{M}\p{Pc}]+/uy;
const string = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;
const operator = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y;
const closing: { readonly [open: string]: string } = { "(": ")", "[": "]", "{": "}" };

/** The inside of a tag, up to its end. An end within brackets is none: {{ {"a": {}} }}. */
function readTag(cursor: Cursor, end: RegExp, tag: string): void {
  const open: string[] = [];
  while (open.length > 0 || take(cursor, end) === undefined) {
    if (take(cursor, white) !== undefined) continue;
    const line = lineOf(cursor);
    const add = (type: Token["type"], value: string): void => void cursor.tokens.push({ type, value, line });
    const found = take(cursor, float);
    if (found !== undefined) add("float", found.replaceAll("_", ""));
    else if (readWord(cursor, add)) continue;
    else readOperator(cursor, open, add);
  }
  push(cursor, "end", tag);
}

function readWord(cursor: Cursor, add: (type: Token["type"], value: string) => void): boolean {
  const digits = take(cursor, integer);
  if (digits !== undefined) add("integer", digits.replaceAll("_", ""));
  const word = digits === undefined ? take(cursor, name) : undefined;
  if (word !== undefined) {
    if (!/^[\p{XIDS}_]/u.test(word)) fail(cursor, "Invalid character in identifier");
    add("name", word);
  }
  const quoted = digits === undefined && word === undefined ? take(cursor, string) : undefined;
  if (quoted !== undefined) add("string", decodeEscapes(cursor, quoted.slice(1, -1)));
  return digits !== undefined || word !== undefined || quoted !== undefined;
}

function readOperator(cursor: Cursor, open: string[], add: (type: "operator", value: string) => void): void {
  const found = take(cursor, operator);
  if (found === undefined) {
    const char = cursor.source[cursor.at];
    fail(
      cursor,
      char === undefined ? "unexpected end of template" : `unexpected char ${JSON.stringify(char)}`,
    );
  }
  const close = closing[found];
  if (close !== undefined) open.push(close);
  if (")]}".includes(found)) {
    const expected = open.pop();
    if (expected !== found)
      fail(cursor, `unexpected '${found}'${expected ? `, expected '${expected}'` : ""}`);
  }
  add("operator", found);
}

const escapes: { readonly [letter: string]: string } = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Python's unicode-escape; an unknown escape stays as it is. */
function decodeEscapes(cursor: Cursor, text: string): string {
  const pattern =
    /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([xuUN])|([^\0-\x7f])|([\s\S]))/gu;
  return text.replace(pattern, (whole, octal, x, u, U, bad, beyond, letter) => {
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
    const hex = x ?? u ?? U;
    if (hex !== undefined) {
      const code = Number.parseInt(hex, 16);
      return code > 0x10ffff
        ? fail(cursor, `illegal Unicode character ${whole}`)
        : String.fromCodePoint(code);
    }
    if (bad !== undefined) return fail(cursor, `a broken escape ${whole} in a string`);
    // Python writes what is not ASCII as an escape first: the backslash before it then escapes that one's.
    if (beyond !== undefined) return `\\${escapeOf(beyond).slice(1)}`;
    return Object.hasOwn(escapes, letter) ? (escapes[letter] ?? "") : whole;
  });
}
