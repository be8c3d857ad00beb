import { PeftError } from "../errors.js";
import { refuseStandIn } from "./tensors/stand_in.js";

/** What a reader of JSON takes, and what it makes of that. */
interface Reading {
  /** Levels of nesting. */
  readonly depth: number;
  /** Whether a byte order mark may stand before the text, and halves of surrogate pairs in it. */
  readonly lax: boolean;
  /** An object of these fields, in their order, repeated ones as often as they stand there. */
  object(fields: [string, unknown][]): unknown;
  /** A number; undefined: not one that is read. `key`: the innermost on the way. */
  number(raw: string, key: string | undefined): unknown;
  readonly words: ReadonlyMap<string, unknown>;
}

/** Levels of nesting that a JSON file may have. */
export const MAX_DEPTH = 500;

const words = new Map<string, unknown>([
  ["true", true],
  ["false", false],
  ["null", null],
]);
const pythonWords = new Map<string, unknown>([
  ...words,
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
]);

/**
 * A JSON reader that JSON.parse is not: it knows the place of a fault, Python's NaN and Infinity, and
 * floats from ints.
 * @param read what a number becomes, by its text
 */
export function scanJson(
  text: string,
  path: string,
  read: (raw: string) => unknown = Number,
): { value: unknown; floats: Set<string> } {
  const floats = new Set<string>();
  const number = (raw: string, key: string | undefined): unknown => {
    if (/[.eE]/.test(raw) && key !== undefined) floats.add(key);
    return read(raw);
  };
  const reading = { depth: MAX_DEPTH, lax: true, object: Object.fromEntries, number, words: pythonWords };
  return { value: readText(text, path, reading), floats };
}

/** The fields of an object in their order, repeated ones as often as they stand there. */
export class JsonFields {
  readonly list: readonly (readonly [string, unknown])[];
  constructor(list: readonly (readonly [string, unknown])[]) {
    this.list = list;
  }
}

/**
 * JSON as Rust's serde_json takes it: 127 levels, no byte order mark, no halves of surrogate pairs, no number
 * beyond f64. Objects are JsonFields; whole numbers of 64 bits from 0 up are bigints, all other numbers are
 * numbers.
 */
export function scanStrictJson(text: string, path: string): unknown {
  const number = (raw: string): bigint | number | undefined => {
    const whole = /^\d{1,20}$/.test(raw) ? BigInt(raw) : -1n;
    if (whole === BigInt.asUintN(64, whole)) return whole;
    return Number.isFinite(Number(raw)) ? Number(raw) : undefined;
  };
  const object = (fields: [string, unknown][]): JsonFields => new JsonFields(fields);
  return readText(text, path, { depth: 127, lax: false, object, number, words });
}

interface Scan extends Reading {
  readonly text: string;
  readonly path: string;
  at: number;
  level: number;
  /** The innermost key on the way. */
  key: string | undefined;
}

function readText(text: string, path: string, reading: Reading): unknown {
  const scan: Scan = { ...reading, text, path, at: 0, level: 0, key: undefined };
  if (scan.lax && text.charCodeAt(0) === 0xfeff) scan.at = 1;
  const value = readValue(scan);
  if (next(scan) !== "") fail(scan, "more text after the value");
  return value;
}

/** The next character that is not white space, "" at the end; not consumed. */
function next(scan: Scan): string {
  while (scan.at < scan.text.length && " \t\r\n".includes(scan.text.charAt(scan.at))) scan.at++;
  return scan.text[scan.at] ?? "";
}

function readValue(scan: Scan): unknown {
  const first = next(scan);
  if (first === '"') return readString(scan);
  if (first !== "{" && first !== "[") return readScalar(scan);
  if (++scan.level > scan.depth) fail(scan, `more than ${scan.depth} levels of nesting`);
  scan.at++;
  const value = first === "{" ? readObject(scan) : readList(scan);
  scan.level--;
  return value;
}

function readObject(scan: Scan): unknown {
  const fields: [string, unknown][] = [];
  const outer = scan.key;
  while (next(scan) !== "}") {
    if (fields.length > 0) expect(scan, ",");
    if (next(scan) !== '"') fail(scan, 'a key in double quotes, or "}", is expected');
    const key = readString(scan);
    expect(scan, ":");
    scan.key = key;
    fields.push([key, readValue(scan)]);
    scan.key = outer;
  }
  scan.at++;
  return scan.object(fields);
}

function readList(scan: Scan): unknown[] {
  const items: unknown[] = [];
  while (next(scan) !== "]") {
    if (items.length > 0) expect(scan, ",");
    items.push(readValue(scan));
  }
  scan.at++;
  return items;
}

function expect(scan: Scan, character: string): void {
  if (next(scan) !== character) fail(scan, `"${character}" is expected`);
  scan.at++;
}

function readString(scan: Scan): string {
  const end = endOfString(scan.text, scan.at);
  if (end === undefined) fail(scan, "a string that does not end");
  const value = unescaped(scan.text.slice(scan.at, end));
  if (value === undefined) fail(scan, "a string with a raw control character or an unknown escape");
  if (!scan.lax && /\p{Surrogate}/u.test(value)) fail(scan, "a string with half of a surrogate pair");
  scan.at = end;
  return value;
}

/** Behind the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number | undefined {
  for (let at = start + 1; ; at++) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return undefined;
    let escapes = 0;
    while (text[quote - 1 - escapes] === "\\") escapes++;
    if (escapes % 2 === 0) return quote + 1;
    at = quote;
  }
}

function unescaped(raw: string): string | undefined {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

function readScalar(scan: Scan): unknown {
  const pattern = /[-+.\w]*/y;
  pattern.lastIndex = scan.at;
  const raw = pattern.exec(scan.text)?.[0] ?? "";
  const isNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(raw);
  const value = isNumber ? scan.number(raw, scan.key) : scan.words.get(raw);
  if (value === undefined)
    fail(scan, raw === "" ? "a value is missing" : `"${raw.slice(0, 40)}" is no value`);
  scan.at += raw.length;
  return value;
}

function fail(scan: Scan, why: string): never {
  refuseStandIn(scan.path, scan.text);
  const before = scan.text.slice(0, scan.at);
  const line = before.split("\n").length;
  const column = scan.at - before.lastIndexOf("\n");
  throw new PeftError("file-format", {
    what: `"${scan.path}" is not valid JSON, line ${line} column ${column}.`,
    why: scan.at >= scan.text.length ? `the text ends there: ${why}.` : `${why}.`,
    fix: "correct the text there, or take the file from its source again.",
  });
}
