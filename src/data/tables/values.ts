import { pythonFloat } from "../../hub/json.js";
import { scanJson } from "../../hub/json_scan.js";
import { isRecord } from "../../narrow.js";

/** Values of rows as Python reads and prints them: 12345678901234567890 keeps its digits, 1.0 stays 1.0. */

/**
 * A float that Python prints otherwise than JavaScript does: 1.0, 1e+16, nan. It computes as the number it
 * is, and chat templates take a boxed number for a float.
 */
export class Float extends Number {
  override toString(): string {
    return pythonFloat(Number(this)).replace("NaN", "nan").replace("Infinity", "inf");
  }
}

/** A float as a plain number where both languages print the same. */
export function asFloat(value: number): number | Float {
  const isSame = !Number.isInteger(value) && Math.abs(value) >= 1e-4 && Number.isFinite(value);
  return isSame ? value : new Float(value);
}

/** An integer as a plain number where a number holds it exactly. */
export function asInteger(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** A point in time as Python prints it: `2026-11-28 12:00:00`. */
export function printDate(date: Date): string {
  if (Number.isNaN(date.getTime())) return "NaT";
  return date
    .toISOString()
    .replace("T", " ")
    .replace(/(\.000)?Z$/, "");
}

/**
 * A value that code gives: dates as text, bigints as numbers where they fit, what says its JSON (decimals,
 * ids, ORM rows) as that.
 */
export function asValue(value: unknown): unknown {
  if (typeof value === "bigint") return asInteger(value);
  if (value instanceof Date) return printDate(value);
  if (typeof value !== "object" || value === null || !("toJSON" in value)) return value;
  return typeof value.toJSON === "function" ? value.toJSON() : value;
}

/**
 * JSON as Python reads it: NaN and Infinity are numbers too. Throws SyntaxError, or `file-format` naming
 * `path`.
 */
export function parseJson(text: string, path: string): unknown {
  return isPlain(text) ? JSON.parse(text) : scanJson(text, path, readNumber).value;
}

function readNumber(text: string): unknown {
  const isInteger = /^-?\d+$/.test(text);
  if (isInteger && text.length > mostDigits) return undefined;
  return isInteger ? asInteger(BigInt(text)) : asFloat(Number(text));
}

/** Python's own limit, sys.get_int_max_str_digits(). */
const mostDigits = 4300;

const deepest = 100;

/**
 * Whether JSON.parse reads a text to what Python would print: all numbers are, and nesting is no deeper than
 * data are.
 */
function isPlain(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') i = endOfString(text, i);
    else if (c === "{" || c === "[") {
      if (++depth > deepest) return false;
    } else if (c === "}" || c === "]") depth--;
    else if (c === "N" || c === "I") return false;
    else if (c === "-" || (c >= "0" && c <= "9")) {
      const end = endOfNumber(text, i);
      if (!printsAlike(text.slice(i, end))) return false;
      i = end - 1;
    }
  }
  return true;
}

function endOfString(text: string, start: number): number {
  for (let at = start; ; ) {
    at = text.indexOf('"', at + 1);
    if (at < 0) return text.length;
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return at;
  }
}

function endOfNumber(text: string, start: number): number {
  let end = start + 1;
  while (end < text.length && "0123456789.eE+-".includes(text[end]!)) end++;
  return end;
}

function printsAlike(number: string): boolean {
  if (/^-?\d{1,15}$/.test(number)) return number !== "-0";
  return /[.eE]/.test(number) && typeof asFloat(Number(number)) === "number";
}

/** A value as text: words as they are, numbers as Python prints them, lists and objects as JSON. */
export function print(value: unknown): string {
  return typeof value === "string" ? value : toJson(value);
}

/** Whether a value is one text or number, and no list, object or nothing. */
export function isScalar(value: unknown): boolean {
  return value !== undefined && value !== null && !Array.isArray(value) && !isObject(value);
}

/** JSON with the spaces that Python's json.dumps writes. */
export function toJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toJson).join(", ")}]`;
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : String(new Float(value));
  if (!isObject(value)) return typeof value === "string" ? JSON.stringify(value) : String(value);
  const fields = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${toJson(item)}`);
  return `{${fields.join(", ")}}`;
}

/** An object of a file: a float that keeps its form is none. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return isRecord(value) && !(value instanceof Float);
}

/** A few words that show a value in an error. */
export function show(value: unknown): string {
  const text = toJson(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
