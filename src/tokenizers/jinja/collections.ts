import type { Natives, Run } from "./calls.js";
import { callNative, generator, iterate } from "./calls.js";
import { raise } from "./fault.js";
import { listOf, plainFilters, text } from "./filters.js";
import { asText } from "./string_methods.js";
import { binary } from "./values/arithmetic.js";
import { formatPercent } from "./values/formatting.js";
import { repr } from "./values/printing.js";
import type { Args } from "./values/values.js";
import {
  compare,
  Dict,
  equal,
  isInt,
  isTrue,
  sorted,
  Thing,
  Tuple,
  Undefined,
  type Value,
} from "./values/values.js";

/** Filters that go through a collection, with attributes, other filters or tests of its items. */

type Key = (item: Value) => Value;

/** Strings compare without their case, unless told otherwise. */
function ignoringCase(value: Value): Value {
  return typeof value === "string" ? value.toLowerCase() : value;
}

/** `a.b.0`: reaches into an item; all of it, where no attribute is given. */
function reach(attribute: Value | undefined, run: Run, otherwise?: Value): Key {
  if (attribute === undefined || attribute === null) return (item) => item;
  const parts: Value[] = isInt(attribute)
    ? [attribute]
    : asText(attribute)
        .split(".")
        .map((part) => (/^\d+$/.test(part) ? BigInt(part) : part));
  return (item) =>
    parts.reduce<Value>((of, part) => {
      const value = run.item(of, part);
      const missing = value instanceof Undefined && otherwise !== undefined && otherwise !== null;
      return missing ? otherwise : value;
    }, item);
}

function keyOf(attribute: Value | undefined, caseSensitive: Value, run: Run, otherwise?: Value): Key {
  const get = reach(attribute, run, otherwise);
  return isTrue(caseSensitive) ? get : (item) => ignoringCase(get(item));
}

/** Several attributes, separated by commas, make a list to sort by. */
function sortKey(attribute: Value | undefined, caseSensitive: Value, run: Run): Key {
  const parts = typeof attribute === "string" ? attribute.split(",") : [attribute];
  const keys = parts.map((part) => keyOf(part, caseSensitive, run));
  return (item) => keys.map((key) => key(item));
}

function sortBy(items: readonly Value[], key: Key, reverse: Value, run: Run): Value[] {
  run.budget.spend(items.length * Math.ceil(Math.log2(items.length + 2)));
  return sorted(
    items.map((value) => ({ key: key(value), value })),
    isTrue(reverse),
  );
}

function extreme(sign: 1 | -1): Natives[string] {
  return [
    "value case_sensitive? attribute?",
    ([value = null, caseSensitive = false, attribute], run) => {
      const key = keyOf(attribute, caseSensitive, run);
      const [first, ...rest] = listOf(value, run);
      if (first === undefined) return new Undefined("No aggregated item, sequence was empty.");
      const better = (a: Value, b: Value): boolean =>
        sign * (compare(key(a), key(b), sign < 0 ? "<" : ">") ?? 0) > 0;
      return rest.reduce((best, item) => (better(item, best) ? item : best), first);
    },
  ];
}

function* unique(items: Iterable<Value>, key: Key): Generator<Value> {
  const seen = new Dict();
  for (const item of items) {
    if (seen.has(key(item))) continue;
    seen.set(key(item), true);
    yield item;
  }
}

/** A pair of groupby's: a tuple whose parts have names. */
function group(grouper: Value, list: Value[], run: Run): Thing {
  const pair = [grouper, list];
  return new Thing("_GroupTuple", {
    repr: () => repr(new Tuple(pair), run.budget),
    attribute: (name) => (name === "grouper" ? grouper : name === "list" ? list : undefined),
    iterate: () => pair[Symbol.iterator](),
    length: () => 2,
    sequence: () => pair,
  });
}

function groupBy(
  value: Value,
  attribute: Value,
  otherwise: Value | undefined,
  caseSensitive: Value,
  run: Run,
): Value {
  const key = keyOf(attribute, caseSensitive, run, otherwise);
  const shown = reach(attribute, run, otherwise);
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sortBy(listOf(value, run), key, false, run)) {
    const last = groups.at(-1);
    if (last && equal(last.key, key(item))) last.items.push(item);
    else groups.push({ key: key(item), items: [item] });
  }
  return groups.map(({ items }) => group(shown(items[0] ?? null), items, run));
}

const natives: Natives = {
  attr: [
    "obj name",
    ([obj = null, name], run) =>
      obj instanceof Dict ? ownOf(obj, name, run) : run.attribute(obj, asText(name)),
  ],
  dictsort: [
    "value case_sensitive? by? reverse?",
    ([value = null, caseSensitive = false, by = "key", reverse = false], run) => {
      if (!(value instanceof Dict)) return raise("TypeError", "dictsort needs a dict");
      if (by !== "key" && by !== "value")
        raise("FilterArgumentError", 'You can only sort by either "key" or "value"');
      const pairs = Array.from(value.entries(), (entry) => new Tuple([...entry]));
      return sortBy(pairs, keyOf(by === "key" ? 0n : 1n, caseSensitive, run), reverse, run);
    },
  ],
  groupby: [
    "value attribute default? case_sensitive?",
    ([value = null, attribute = null, otherwise, caseSensitive = false], run) =>
      groupBy(value, attribute, otherwise, caseSensitive, run),
  ],
  join: [
    "value d? attribute?",
    ([value = null, d = "", attribute], run) => {
      const get = reach(attribute, run);
      const separator = text(d, run);
      const parts: string[] = [];
      for (const item of iterate(value, run.budget)) {
        run.budget.spendText(separator.length);
        parts.push(text(get(item), run));
      }
      return parts.join(separator);
    },
  ],
  max: extreme(1),
  min: extreme(-1),
  sort: [
    "value reverse? case_sensitive? attribute?",
    ([value = null, reverse = false, caseSensitive = false, attribute], run) =>
      sortBy(listOf(value, run), sortKey(attribute, caseSensitive, run), reverse, run),
  ],
  sum: [
    "iterable attribute? start?",
    ([value = null, attribute, start = 0n], run) =>
      listOf(value, run)
        .map(reach(attribute, run))
        .reduce<Value>((total, item) => binary("+", total, item, run.budget), start),
  ],
  unique: [
    "value case_sensitive? attribute?",
    ([value = null, caseSensitive = false, attribute], run) =>
      generator("do_unique", unique(iterate(value, run.budget), keyOf(attribute, caseSensitive, run))),
  ],
};

/** An attribute of a dict that is no item of it: a method. */
function ownOf(of: Dict, name: Value | undefined, run: Run): Value {
  const value = run.attribute(of, asText(name));
  return value instanceof Thing ? value : new Undefined(`'dict object' has no attribute '${asText(name)}'`);
}

type Filter = (args: Args, run: Run) => Value;

function* mapped(items: Value, change: Key, run: Run): Generator<Value> {
  if (isTrue(items)) for (const item of iterate(items, run.budget)) yield change(item);
}

const map: Filter = ({ positional: [value = null, name, ...rest], named }, run) => {
  if (name === undefined && named.has("attribute")) {
    const get = reach(named.get("attribute"), run, named.get("default"));
    return generator("sync_do_map", mapped(value, get, run));
  }
  if (name === undefined) raise("FilterArgumentError", "map requires a filter argument");
  const change = (item: Value): Value => run.filter(asText(name), { positional: [item, ...rest], named });
  return generator("sync_do_map", mapped(value, change, run));
};

function* selected(items: Value, wanted: (item: Value) => boolean, run: Run): Generator<Value> {
  if (!isTrue(items)) return;
  for (const item of iterate(items, run.budget)) if (wanted(item)) yield item;
}

/** select, reject, selectattr, rejectattr. */
function select(name: string, keep: boolean, withAttribute: boolean): Filter {
  return ({ positional: [value = null, ...given], named }, run) => {
    if (withAttribute && given.length === 0)
      raise("FilterArgumentError", "Missing parameter for attribute name");
    const get = withAttribute ? reach(given[0], run) : (item: Value) => item;
    const [test, ...rest] = given.slice(withAttribute ? 1 : 0);
    const passes = (item: Value): boolean =>
      test === undefined ? isTrue(item) : run.test(asText(test), { positional: [item, ...rest], named });
    return generator(
      `sync_do_${name}`,
      selected(value, (item) => passes(get(item)) === keep, run),
    );
  };
}

const format: Filter = ({ positional: [value, ...rest], named }, run) => {
  if (rest.length > 0 && named.size > 0) {
    raise("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
  }
  return formatPercent(text(value, run), named.size > 0 ? new Dict(named) : new Tuple(rest), run.budget);
};

const free: { readonly [name: string]: Filter } = {
  format,
  map,
  reject: select("reject", false, false),
  rejectattr: select("rejectattr", false, true),
  select: select("select", true, false),
  selectattr: select("selectattr", true, true),
};

/** Finds a filter by its name. Throws where there is none. */
export function filterNamed(name: string): Filter {
  const filter = Object.hasOwn(free, name) ? free[name] : undefined;
  if (filter) return filter;
  const table = [plainFilters, natives].find((filters) => Object.hasOwn(filters, name));
  const native = table?.[name];
  return native
    ? (args, run) => callNative(name, native, args, run)
    : raise("TemplateAssertionError", `No filter named '${name}'.`);
}

/** Filters of jinja2's that are not here: what they write is random, or made for the eye. */
export const UNBUILT_FILTERS: readonly string[] = ["random", "pprint", "urlize", "wordwrap"];

export function hasFilter(name: string): boolean {
  return [free, plainFilters, natives].some((filters) => Object.hasOwn(filters, name));
}
