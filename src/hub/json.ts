import { PeftError } from "../errors.js";
import { isRecord } from "../narrow.js";
import type { Files } from "./files.js";
import { nodeFiles } from "./files.js";
import { MAX_DEPTH, scanJson } from "./json_scan.js";

/**
 * Reads a JSON file as Python's json does (NaN and Infinity are numbers). Throws file-format with line
 * and column.
 */
export async function readJson(path: string, files: Files = nodeFiles): Promise<unknown> {
  return parseJson(await files.text(path), path);
}

/** The object that a JSON file holds; anything else at its top is an error. */
export async function readJsonObject(
  path: string,
  files: Files = nodeFiles,
): Promise<Record<string, unknown>> {
  return asObject(await readJson(path, files), path);
}

/** Parses text; `path` names it in errors. */
export function parseJson(text: string, path: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (isWithin(value, MAX_DEPTH)) return value;
  } catch {}
  return scanJson(text, path).value; // finds the place of the fault, or takes what only Python takes
}

/** Whether a value has at most `levels` of nesting: whatever walks through it may call itself as often. */
function isWithin(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (levels === 0) return false;
  for (const item of Object.values(value)) if (!isWithin(item, levels - 1)) return false;
  return true;
}

/**
 * Parses and also tells which keys held a float (`0.0`, not `0`), for `formatJson` to write them so
 * again.
 */
export function parseJsonWithFloats(text: string, path: string): { value: unknown; floats: Set<string> } {
  return scanJson(text, path);
}

function asObject(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (isRecord(value)) return value;
  throw new PeftError("file-format", {
    what: `"${path}" does not hold a JSON object.`,
    why: `its text is ${Array.isArray(value) ? "a list" : `the value ${JSON.stringify(value)}`}.`,
    fix: "take the file from the repository again.",
  });
}

/**
 * The text that `json.dumps(value, indent=2, sort_keys=True)` gives in Python.
 * @param floats keys whose numbers are Python floats: 1 is written 1.0, in lists and objects below them too.
 */
export function formatJson(value: unknown, floats: ReadonlySet<string> = new Set()): string {
  return format(value, floats, false, "\n");
}

function format(value: unknown, floats: ReadonlySet<string>, float: boolean, line: string): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "number") return float ? pythonFloat(value) : pythonNumber(value);
  if (typeof value === "string") return pythonString(value);
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  const below = `${line}  `;
  if (Array.isArray(value)) {
    return brackets(
      "[",
      "]",
      line,
      value.map((item) => format(item, floats, float, below)),
    );
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  entries.sort(([a], [b]) => byCodePoint(a, b));
  const fields = entries.map(
    ([key, item]) => `${pythonString(key)}: ${format(item, floats, float || floats.has(key), below)}`,
  );
  return brackets("{", "}", line, fields);
}

function brackets(open: string, close: string, line: string, items: string[]): string {
  if (items.length === 0) return open + close;
  return `${open}${line}  ${items.join(`,${line}  `)}${line}${close}`;
}

function pythonNumber(x: number): string {
  return Number.isInteger(x) ? BigInt(x).toString() : pythonFloat(x);
}

/**
 * Python's repr of a float: both languages give the shortest digits, they differ in where the exponent
 * starts.
 */
export function pythonFloat(x: number): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "Infinity" : "-Infinity";
  const [mantissa = "0", power = "0"] = x.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const sign = Object.is(x, -0) || x < 0 ? "-" : "";
  const digits = mantissa.replace(/[-.]/g, "");
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

function pythonString(text: string): string {
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, escaped);
}

/** Python's and Rust's order of strings; JavaScript's own differs beyond U+FFFF. */
export function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1;
  }
  return a.length - b.length;
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xe000;
