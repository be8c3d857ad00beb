import { pythonFloat } from "../../hub/json.js";
import type { Budget } from "./budget.js";
import { raise } from "./fault.js";
import { intText, paidInt } from "./values/printing.js";
import { Dict, isInt, isList, sorted, Tuple, typeName, type Value } from "./values/values.js";

/** How json.dumps writes. */
export type JsonStyle = {
  readonly ascii: boolean;
  /** Undefined writes on one line. */
  readonly indent: string | undefined;
  readonly separators: readonly [item: string, key: string];
  readonly sortKeys: boolean;
};

/** Python's json.dumps. */
export function toJson(value: Value, style: JsonStyle, budget: Budget): string {
  return write(value, style, "\n", budget);
}

function write(value: Value, style: JsonStyle, line: string, budget: Budget): string {
  budget.spend(4);
  if (value === null) return "null";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "bigint") return paidInt(value, budget);
  if (typeof value === "number") return pythonFloat(value);
  if (typeof value === "string") return quote(value, style, budget);
  const below = style.indent === undefined ? line : line + style.indent;
  if (isList(value) || value instanceof Tuple) {
    const items = isList(value) ? value : value.items;
    const parts = items.map((item) => write(item, style, below, budget));
    return brackets("[", parts, "]", style, line, below, budget);
  }
  if (!(value instanceof Dict)) {
    return raise("TypeError", `Object of type ${typeName(value)} is not JSON serializable`);
  }
  const entries = [...value.entries()].map(([key, item]) => ({ key, value: new Tuple([key, item]) }));
  const order = style.sortKeys ? sorted(entries, false) : entries.map((entry) => entry.value);
  const fields = order.map((pair) => {
    const [key = null, item = null] = pair instanceof Tuple ? pair.items : [];
    return quote(keyText(key), style, budget) + style.separators[1] + write(item, style, below, budget);
  });
  return brackets("{", fields, "}", style, line, below, budget);
}

function brackets(
  open: string,
  parts: readonly string[],
  close: string,
  style: JsonStyle,
  line: string,
  below: string,
  budget: Budget,
): string {
  if (parts.length === 0) return open + close;
  const breaks = style.indent !== undefined;
  budget.spendText(parts.length * (breaks ? below.length : 1));
  const text = parts.join(style.separators[0] + (breaks ? below : ""));
  budget.spendText(text.length);
  return breaks ? open + below + text + line + close : open + text + close;
}

function keyText(key: Value): string {
  if (typeof key === "string") return key;
  if (key === null) return "null";
  if (typeof key === "boolean") return String(key);
  if (isInt(key)) return intText(BigInt(key));
  if (typeof key === "number") return pythonFloat(key);
  return raise("TypeError", `keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

const short: { readonly [char: string]: string } = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};

function quote(text: string, style: JsonStyle, budget: Budget): string {
  budget.spendText(text.length);
  const escaped = style.ascii ? /["\\]|[^ -~]/g : /["\\\p{Cc}]/gu;
  const out = text.replace(escaped, (unit) => {
    if (!style.ascii && unit >= "\x7f") return unit;
    return short[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `"${out}"`;
}
