import type { Natives, Run } from "./calls.js";
import { generator, iterate } from "./calls.js";
import { cut, len, trimEnd, trimStart } from "./characters.js";
import { raise } from "./fault.js";
import { escapeHtml, stripTags } from "./html.js";
import {
  asText,
  capitalize,
  center,
  dropsFor,
  replace,
  splitLines,
  stringMethods,
} from "./string_methods.js";
import { toJson } from "./tojson.js";
import { asIndex, parseFloatText, toFloat, toInt } from "./values/conversions.js";
import { fixed } from "./values/formatting.js";
import { str } from "./values/printing.js";
import {
  Dict,
  isList,
  isNumber,
  isTrue,
  lengthOf,
  numeric,
  sequenceItems,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values/values.js";

/** Filters that need nothing but their arguments. Reference: jinja2/filters.py */

/** A text as jinja2's soft_str makes it. */
export function text(value: Value | undefined, run: Run): string {
  const made = str(value ?? null, run.budget);
  run.budget.spendText(made.length);
  return made;
}

/** All items of an iterable. */
export function listOf(value: Value | undefined, run: Run): Value[] {
  return [...iterate(value ?? null, run.budget)];
}

function length(value: Value, run: Run): Value {
  if (typeof value === "string") run.budget.spendText(value.length);
  const size = lengthOf(value);
  return size === undefined
    ? raise("TypeError", `object of type '${typeName(value)}' has no len()`)
    : BigInt(size);
}

function abs(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return raise("TypeError", `bad operand type for abs(): '${typeName(value)}'`);
  const number = numeric(value);
  return number < 0 ? -number : typeof number === "number" ? Math.abs(number) : number;
}

function* batch(value: Value, size: Value, filler: Value | undefined, run: Run): Generator<Value> {
  const count = asIndex(size, 0);
  let row: Value[] = [];
  for (const item of iterate(value, run.budget)) {
    if (row.length === count) {
      yield row;
      row = [];
    }
    row.push(item);
  }
  if (row.length === 0) return;
  if (filler !== undefined && filler !== null && row.length < count) {
    run.budget.spend(count);
    while (row.length < count) row.push(filler);
  }
  yield row;
}

function* slices(value: Value, count: Value, filler: Value | undefined, run: Run): Generator<Value> {
  const items = listOf(value, run);
  const slots = asIndex(count, 0);
  if (slots <= 0) raise("ZeroDivisionError", "integer division or modulo by zero");
  run.budget.spend(slots);
  const each = Math.floor(items.length / slots);
  const longer = items.length % slots;
  for (let i = 0, at = 0; i < slots; i++) {
    const size = each + (i < longer ? 1 : 0);
    const row = items.slice(at, at + size);
    if (filler !== undefined && filler !== null && i >= longer) row.push(filler);
    at += size;
    yield row;
  }
}

function fileSize(value: Value, binaryUnits: boolean): string {
  const bytes = Number(
    typeof value === "string" ? parseFloatText(value) : isNumber(value) ? numeric(value) : Number.NaN,
  );
  if (Number.isNaN(bytes)) raise("ValueError", "a number of bytes is needed");
  if (bytes === 1) return "1 Byte";
  const base = binaryUnits ? 1024 : 1000;
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  const units = [..."KMGTPEZY"].map((unit) => (binaryUnits ? `${unit}iB` : `${unit === "K" ? "k" : unit}B`));
  const power = units.findIndex((_, i) => bytes < base ** (i + 2));
  const at = power < 0 ? units.length - 1 : power;
  return `${fixed((base * bytes) / base ** (at + 2), 1)} ${units[at]}`;
}

function toFloatOr(value: Value, otherwise: Value, run: Run): Value {
  if (typeof value === "string") run.budget.spendText(value.length);
  if (value instanceof Undefined) value.fail();
  if (isNumber(value)) return toFloat(numeric(value));
  return (typeof value === "string" ? parseFloatText(value) : undefined) ?? otherwise;
}

function toIntOr(value: Value, otherwise: Value, base: number, run: Run): Value {
  // The digits of an int are made one by one.
  if (typeof value === "string") run.budget.spend(value.length / 4);
  if (value instanceof Undefined) value.fail();
  const whole = toInt(value, base);
  if (whole !== undefined) return whole;
  const float = typeof value === "string" ? parseFloatText(value) : undefined;
  return float === undefined ? otherwise : (toInt(float) ?? otherwise);
}

function indent(source: string, width: Value | undefined, first: boolean, blank: boolean, run: Run): string {
  const by = typeof width === "string" ? width : " ".repeat(paid(asIndex(width, 4), run));
  // A newline is added so that a text that ends in one keeps its last, empty line.
  const lines = splitLines(`${source}\n`);
  run.budget.spendText(source.length + lines.length * by.length);
  const rest = lines.slice(1).map((line) => (blank || line !== "" ? by + line : line));
  return (first ? by : "") + [lines[0] ?? "", ...rest].join("\n");
}

function paid(count: number, run: Run): number {
  run.budget.spendText(Math.max(0, count));
  return Math.max(0, count);
}

function reversed(value: Value, run: Run): Value {
  if (typeof value === "string") return [...value].reverse().join("");
  const items = value instanceof Dict ? [...value.keys()] : sequenceItems(value);
  if (!items) return listOf(value, run).reverse();
  run.budget.spend(items.length);
  const type = isList(value) ? "list_reverseiterator" : "reversed";
  return new Thing(type, {
    repr: () => `<${type} object>`,
    iterate: (
      (iterator) => () =>
        iterator
    )([...items].reverse()[Symbol.iterator]()),
  });
}

function round(value: Value, precision: number, method: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return raise("TypeError", `type ${typeName(value)} doesn't define __round__ method`);
  const number = numeric(value);
  if (method === "ceil" || method === "floor") {
    const factor = 10 ** precision;
    return Math[method](Number(number) * factor) / factor;
  }
  if (method !== "common") raise("FilterArgumentError", "method must be common, ceil or floor");
  if (typeof number === "bigint")
    return precision >= 0 ? number : roundInt(number, 10n ** BigInt(Math.min(-precision, 5000)));
  if (!Number.isFinite(number) || precision > 50) return number;
  if (precision < 0)
    return Number(roundInt(BigInt(Math.trunc(number)), 10n ** BigInt(Math.min(-precision, 400))));
  const size = Number(fixed(Math.abs(number), precision));
  return number < 0 || Object.is(number, -0) ? -size : size;
}

/** To a multiple, ties to the even one. */
function roundInt(value: bigint, unit: bigint): bigint {
  const size = value < 0n ? -value : value;
  const rest = size % unit;
  const down = size - rest;
  const up = rest * 2n > unit || (rest * 2n === unit && (down / unit) % 2n === 1n);
  const result = up ? down + unit : down;
  return value < 0n ? -result : result;
}

/** Title case after white space and opening marks, as jinja2 has it: "can't" is "Can't". */
function title(source: string): string {
  return source.replace(/[^-\s({[<]+/gu, (word) => {
    const [first = ""] = word;
    return first.toUpperCase() + word.slice(first.length).toLowerCase();
  });
}

function truncate(source: string, given: readonly (Value | undefined)[]): string {
  const [size, killWords, end, leeway] = given;
  const most = asIndex(size, 255);
  const tail = end === undefined ? "..." : asText(end);
  if (most < len(tail)) raise("AssertionError", `expected length >= ${len(tail)}, got ${most}`);
  if (len(source) <= most + asIndex(leeway, 5)) return source;
  const kept = cut(source, 0, most - len(tail));
  const space = kept.lastIndexOf(" ");
  return (isTrue(killWords ?? false) || space < 0 ? kept : kept.slice(0, space)) + tail;
}

const safeInUrl = /[A-Za-z0-9_.~/-]/;

function quoteUrl(source: string, slash = true): string {
  return Array.from(new TextEncoder().encode(source), (byte) => {
    const char = String.fromCharCode(byte);
    if (safeInUrl.test(char) && (slash || char !== "/")) return char;
    return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}

function urlEncode(value: Value, run: Run): string {
  if (typeof value === "string" || isNumber(value) || value === null) return quoteUrl(text(value, run));
  const pairs =
    value instanceof Dict
      ? Array.from(value.entries(), (entry) => new Tuple([...entry]))
      : listOf(value, run);
  const query = (part: Value | undefined): string => quoteUrl(text(part, run), false).replaceAll("%20", "+");
  return pairs
    .map((pair) => listOf(pair, run))
    .map(([key, item]) => `${query(key)}=${query(item)}`)
    .join("&");
}

function xmlAttributes(value: Value, space: boolean, run: Run): string {
  if (!(value instanceof Dict)) return raise("TypeError", "xmlattr needs a dict");
  const parts: string[] = [];
  for (const [key, item] of value.entries()) {
    if (item === null || item instanceof Undefined) continue;
    if (/[\s/>=]/.test(asText(key)))
      raise("ValueError", `Invalid character in attribute name: ${asText(key)}`);
    parts.push(`${escapeHtml(text(key, run), run.budget)}="${escapeHtml(text(item, run), run.budget)}"`);
  }
  return (space && parts.length > 0 ? " " : "") + parts.join(" ");
}

function jsonIndent(indent: Value | undefined, run: Run): string | undefined {
  if (indent === undefined || indent === null) return undefined;
  return typeof indent === "string" ? indent : " ".repeat(paid(asIndex(indent, 0), run));
}

function separators(given: Value | undefined, breaks: boolean): [string, string] {
  if (given === undefined || given === null) return [breaks ? "," : ", ", ": "];
  const [item = null, key = null] = sequenceItems(given) ?? [];
  return [asText(item), asText(key)];
}

/** A method of str as a filter: what it gets is made a text first. */
function asFilter(name: "upper" | "lower"): Natives[string] {
  return ["s", ([s], run) => stringMethods[name]?.[1]([text(s, run)], run) ?? null];
}

const d: Natives[string] = [
  "value default_value? boolean?",
  ([value = null, otherwise = "", boolean = false]) =>
    value instanceof Undefined || (isTrue(boolean) && !isTrue(value)) ? otherwise : value,
];
const e: Natives[string] = ["value", ([value], run) => escapeHtml(text(value, run), run.budget)];
const count: Natives[string] = ["value", ([value = null], run) => length(value, run)];

export const plainFilters: Natives = {
  abs: ["x", ([x = null]) => abs(x)],
  batch: [
    "value linecount fill_with?",
    ([value = null, size = null, filler], run) => generator("do_batch", batch(value, size, filler, run)),
  ],
  capitalize: ["s", ([s], run) => capitalize(text(s, run))],
  center: ["value width?", ([value, width], run) => center(text(value, run), width ?? 80n, undefined, run)],
  count,
  length: count,
  d,
  default: d,
  e,
  escape: e,
  forceescape: e,
  safe: ["value", ([value], run) => text(value, run)],
  filesizeformat: ["value binary?", ([value = null, units = false]) => fileSize(value, isTrue(units))],
  first: [
    "seq",
    ([seq = null], run) => {
      const { value, done } = iterate(seq, run.budget).next();
      return done ? new Undefined("No first item, sequence was empty.") : value;
    },
  ],
  last: [
    "seq",
    ([seq = null]) => {
      if (typeof seq === "string")
        return [...seq].at(-1) ?? new Undefined("No last item, sequence was empty.");
      const items =
        seq instanceof Dict ? [...seq.keys()] : seq instanceof Undefined ? [] : sequenceItems(seq);
      if (!items) return raise("TypeError", `'${typeName(seq)}' object is not reversible`);
      const item = items.at(-1);
      return item === undefined ? new Undefined("No last item, sequence was empty.") : item;
    },
  ],
  float: ["value default?", ([value = null, otherwise = 0], run) => toFloatOr(value, otherwise, run)],
  indent: [
    "s width? first? blank?",
    ([s, width, first = false, blank = false], run) =>
      indent(asText(s), width, isTrue(first), isTrue(blank), run),
  ],
  int: [
    "value default? base?",
    ([value = null, otherwise = 0n, base], run) => toIntOr(value, otherwise, asIndex(base, 10), run),
  ],
  items: [
    "value",
    ([value = null], run) => {
      if (!(value instanceof Dict || value instanceof Undefined)) {
        raise("TypeError", "Can only get item pairs from a mapping.");
      }
      const pairs =
        value instanceof Dict ? Array.from(value.entries(), (entry) => new Tuple([...entry])) : [];
      run.budget.spend(pairs.length);
      return generator("do_items", pairs[Symbol.iterator]());
    },
  ],
  list: ["value", ([value], run) => listOf(value, run)],
  lower: asFilter("lower"),
  replace: [
    "s old new count?",
    ([s, old, by, most], run) =>
      replace(text(s, run), text(old, run), text(by, run), asIndex(most, -1), run.budget),
  ],
  reverse: ["value", ([value = null], run) => reversed(value, run)],
  round: [
    "value precision? method?",
    ([value = null, precision, method = "common"]) => round(value, asIndex(precision, 0), method),
  ],
  slice: [
    "value slices fill_with?",
    ([value = null, slots = null, filler], run) =>
      generator("sync_do_slice", slices(value, slots, filler, run)),
  ],
  string: ["object", ([value], run) => text(value, run)],
  striptags: ["value", ([value], run) => stripTags(text(value, run))],
  title: ["s", ([s], run) => title(text(s, run))],
  tojson: [
    "x ensure_ascii? indent? separators? sort_keys?",
    ([x = null, ascii = false, given, between, sort = false], run) => {
      const indention = jsonIndent(given, run);
      const style = {
        ascii: isTrue(ascii),
        indent: indention,
        separators: separators(between, indention !== undefined),
        sortKeys: isTrue(sort),
      };
      return toJson(x, style, run.budget);
    },
  ],
  trim: [
    "value chars?",
    ([value, characters], run) =>
      trimEnd(trimStart(text(value, run), dropsFor(characters)), dropsFor(characters)),
  ],
  truncate: ["s length? killwords? end? leeway?", ([s, ...rest]) => truncate(asText(s), rest)],
  upper: asFilter("upper"),
  urlencode: ["value", ([value = null], run) => urlEncode(value, run)],
  wordcount: ["s", ([s], run) => BigInt(text(s, run).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)],
  xmlattr: ["d autospace?", ([value = null, space = true], run) => xmlAttributes(value, isTrue(space), run)],
};
