import { pythonFloat } from "../../../hub/json.js";
import type { Budget } from "../budget.js";
import { raise } from "../fault.js";
import { Dict, isList, Thing, Tuple, Undefined, type Value } from "./values.js";

/** Python's str(): what {{ }} prints. */
export function str(value: Value, budget: Budget): string {
  if (typeof value === "string") return value;
  return value instanceof Undefined ? "" : repr(value, budget);
}

/** Python's repr(). */
export function repr(value: Value, budget: Budget): string {
  budget.spend(2);
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return paidInt(value, budget);
  if (typeof value === "number") return floatText(value);
  if (typeof value === "string") return quoted(value, budget);
  if (isList(value)) return `[${joined(value, budget)}]`;
  if (value instanceof Tuple) {
    return value.items.length === 1
      ? `(${joined(value.items, budget)},)`
      : `(${joined(value.items, budget)})`;
  }
  if (value instanceof Dict) return dictText(value.entries(), budget);
  return value instanceof Thing ? value.parts.repr() : "Undefined";
}

function joined(items: readonly Value[], budget: Budget): string {
  const text = items.map((item) => repr(item, budget)).join(", ");
  budget.spendText(text.length);
  return text;
}

export function dictText(entries: Iterable<readonly [Value, Value]>, budget: Budget): string {
  const parts = Array.from(entries, ([key, value]) => `${repr(key, budget)}: ${repr(value, budget)}`);
  const text = `{${parts.join(", ")}}`;
  budget.spendText(text.length);
  return text;
}

/** Digits that Python prints of an int at most, unless told otherwise. */
const MOST_DIGITS = 4300;

export function intText(value: bigint): string {
  const text = value.toString(16).length < MOST_DIGITS ? value.toString() : "";
  if (text !== "" && text.replace("-", "").length <= MOST_DIGITS) return text;
  return raise("ValueError", `Exceeds the limit (${MOST_DIGITS} digits) for integer string conversion`);
}

/** Digits take longer to make than other text. */
export function paidInt(value: bigint, budget: Budget): string {
  const text = intText(value);
  budget.spend(text.length / 4);
  return text;
}

export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? pythonFloat(value) : value > 0 ? "inf" : "-inf";
}

/** What str.isprintable says no to, besides the space itself. */
const unprintable = /[\p{C}\p{Z}]/u;
const named: { readonly [char: string]: string } = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function quoted(text: string, budget: Budget): string {
  budget.spendText(text.length);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/['"\\]|[\p{C}\p{Z}]/gu, (char) => {
    if (char === " " || ((char === "'" || char === '"') && char !== quote)) return char;
    if (char === quote) return `\\${char}`;
    return named[char] ?? (unprintable.test(char) ? escapeOf(char) : char);
  });
  return quote + escaped + quote;
}

/** \x1b, \u2028 or \U0001f600. */
export function escapeOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const [letter, width] =
    code > 0xffff ? (["U", 8] as const) : code > 0xff ? (["u", 4] as const) : (["x", 2] as const);
  return `\\${letter}${code.toString(16).padStart(width, "0")}`;
}
