import { raise } from "../fault.js";
import { isInt, typeName, Undefined, type Value } from "./values.js";

/** Numbers from other values, as Python makes them. */

export function toFloat(value: bigint | number | boolean): number {
  const number = Number(value);
  if (typeof value === "bigint" && !Number.isFinite(number)) {
    raise("OverflowError", "int too large to convert to float");
  }
  return number;
}

/** Python's int(): of a number or of digits. Undefined where it cannot be. */
export function toInt(value: Value, base = 10): bigint | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? BigInt(Math.trunc(value)) : undefined;
  if (isInt(value)) return BigInt(value);
  return typeof value === "string" ? parseInteger(value, base) : undefined;
}

/** Python refuses longer ints, unless told otherwise. */
const MOST_DIGITS = 4300;

const prefixes: { readonly [base: number]: string } = { 2: "0b", 8: "0o", 16: "0x" };

function parseInteger(text: string, base: number): bigint | undefined {
  const found =
    text.length > MOST_DIGITS ? null : /^([+-]?)(0[box])?_?((?:[\da-z]_?)*[\da-z])$/i.exec(text.trim());
  if (!found) return undefined;
  const [, sign, prefix, written = ""] = found;
  const actual =
    base === 0
      ? Number(Object.keys(prefixes).find((b) => prefixes[Number(b)] === prefix?.toLowerCase()) ?? 10)
      : base;
  // A prefix of another base is digits there: 0b1 is 2817 in base 16.
  const stripped = prefix !== undefined && prefixes[actual] === prefix.toLowerCase();
  const digits = `${stripped ? "" : (prefix ?? "")}${written}`.replaceAll("_", "").toLowerCase();
  let result = 0n;
  for (const char of digits) {
    const digit = Number.parseInt(char, 36);
    if (digit >= actual) return undefined;
    result = result * BigInt(actual) + BigInt(digit);
  }
  return sign === "-" ? -result : result;
}

/** Python's float(). Undefined where it cannot be. */
export function parseFloatText(text: string): number | undefined {
  const trimmed = text.trim().toLowerCase();
  if (/^[+-]?(\d+(_\d+)*(\.(\d+(_\d+)*)?)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/.test(trimmed)) {
    return Number(trimmed.replaceAll("_", ""));
  }
  const word = /^([+-]?)(inf|infinity|nan)$/.exec(trimmed);
  if (!word) return undefined;
  return word[2] === "nan"
    ? Number.NaN
    : word[1] === "-"
      ? Number.NEGATIVE_INFINITY
      : Number.POSITIVE_INFINITY;
}

/** A position or a count that must be an int. */
export function asIndex(value: Value | undefined, otherwise: number): number {
  if (value === undefined || value === null) return otherwise;
  if (value instanceof Undefined) value.fail();
  if (isInt(value)) return Number(value);
  return raise("TypeError", `'${typeName(value)}' object cannot be interpreted as an integer`);
}

/** The items that a slice takes, by Python's rules for its bounds: `count` of them, `by` apart. */
export function sliceBounds(
  length: number,
  start: Value,
  stop: Value,
  step: Value,
): { from: number; by: number; count: number } {
  const by = asIndex(step, 1);
  if (by === 0) raise("ValueError", "slice step cannot be zero");
  const clamp = (value: number, low: number, high: number): number =>
    Math.min(Math.max(value < 0 ? value + length : value, low), high);
  const [low, high] = by > 0 ? [0, length] : [-1, length - 1];
  const from = start === null ? (by > 0 ? low : high) : clamp(asIndex(start, 0), low, high);
  const to = stop === null ? (by > 0 ? high : low) : clamp(asIndex(stop, 0), low, high);
  return { from, by, count: Math.max(0, Math.ceil((to - from) / by)) };
}
