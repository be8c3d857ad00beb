import { byCodePoint } from "../../../hub/json.js";
import { len } from "../characters.js";
import { raise } from "../fault.js";

/**
 * The values of a template are Python's: None is null, an int a bigint, a float a number, a list an array.
 * All others are objects below, so that nothing of JavaScript's own can be reached from a template.
 */
export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | readonly Value[]
  | Tuple
  | Dict
  | Undefined
  | Thing;

export class Tuple {
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    this.items = items;
  }
}

/** A Python dict: keys that are equal are one, whatever their type (1, 1.0 and True). */
export class Dict {
  readonly #entries = new Map<unknown, [Value, Value]>();
  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }
  get(key: Value): Value | undefined {
    return this.#entries.get(hash(key))?.[1];
  }
  has(key: Value): boolean {
    return this.#entries.has(hash(key));
  }
  set(key: Value, value: Value): void {
    const hashed = hash(key);
    const entry = this.#entries.get(hashed);
    if (entry) entry[1] = value;
    else this.#entries.set(hashed, [key, value]);
  }
  get size(): number {
    return this.#entries.size;
  }
  *keys(): Generator<Value> {
    for (const [key] of this.#entries.values()) yield key;
  }
  *values(): Generator<Value> {
    for (const [, value] of this.#entries.values()) yield value;
  }
  entries(): IterableIterator<[Value, Value]> {
    return this.#entries.values();
  }
}

/** A value that is not there: it prints as nothing and is false; nearly all else with it is an error. */
export class Undefined {
  /** What is missing, or why it may not be reached. */
  readonly hint: string;
  readonly unsafe: boolean;
  constructor(hint: string, unsafe = false) {
    this.hint = hint;
    this.unsafe = unsafe;
  }
  fail(): never {
    return raise(this.unsafe ? "SecurityError" : "UndefinedError", this.hint);
  }
}

/** Anything else: a function, a macro, a namespace, a loop, a range, a generator. */
export class Thing {
  /** The type's name in Python. */
  readonly type: string;
  readonly parts: Parts;
  constructor(type: string, parts: Parts) {
    this.type = type;
    this.parts = parts;
  }
}

type Parts = {
  readonly repr: () => string;
  readonly attribute?: (name: string) => Value | undefined;
  readonly assign?: (name: string, value: Value) => void;
  readonly item?: (key: Value) => Value | undefined;
  readonly iterate?: () => Iterator<Value>;
  /** Undefined for what has no length, as generators. */
  readonly length?: () => number;
  readonly call?: (args: Args) => Value;
  readonly equals?: (other: Value) => boolean;
  /** A sequence can be reversed and sliced: its items. */
  readonly sequence?: () => readonly Value[];
};

/** Arguments of a call. */
export type Args = { readonly positional: readonly Value[]; readonly named: ReadonlyMap<string, Value> };

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** An int in Python: True and False are ints too. */
export function isInt(value: Value | undefined): value is bigint | boolean {
  return typeof value === "bigint" || typeof value === "boolean";
}

export function isNumber(value: Value | undefined): value is bigint | boolean | number {
  return isInt(value) || typeof value === "number";
}

/** The items of a list, a tuple or a range. */
export function sequenceItems(value: Value): readonly Value[] | undefined {
  if (isList(value)) return value;
  if (value instanceof Tuple) return value.items;
  return value instanceof Thing ? value.parts.sequence?.() : undefined;
}

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float";
  if (typeof value === "string") return "str";
  if (isList(value)) return "list";
  if (value instanceof Tuple) return "tuple";
  if (value instanceof Dict) return "dict";
  return value instanceof Undefined ? "Undefined" : value.type;
}

export function isTrue(value: Value): boolean {
  if (value === null || typeof value === "boolean") return value === true;
  if (typeof value === "bigint") return value !== 0n;
  if (typeof value === "number") return value !== 0;
  if (value instanceof Undefined) return false;
  const length = lengthOf(value);
  return length === undefined || length > 0;
}

/** Undefined where the value has no length. */
export function lengthOf(value: Value): number | undefined {
  if (typeof value === "string") return value.length > 0 ? len(value) : 0;
  if (value instanceof Undefined) return 0;
  if (value instanceof Dict) return value.size;
  if (value instanceof Thing) return value.parts.length?.();
  return value === null || isNumber(value) ? undefined : sequenceItems(value)?.length;
}

/** Equal keys of a dict have equal hashes here: strings with a mark, numbers as numbers, tuples as text. */
function hash(key: Value): unknown {
  if (typeof key === "string") return `s${key}`;
  if (typeof key === "boolean") return Number(key);
  if (typeof key === "bigint") return BigInt(Number(key)) === key ? Number(key) : key;
  if (key instanceof Tuple) return `t${JSON.stringify(key.items.map((item) => tupleHash(hash(item))))}`;
  if (isList(key) || key instanceof Dict) return raise("TypeError", `unhashable type: '${typeName(key)}'`);
  return key;
}

function tupleHash(hashed: unknown): string {
  if (typeof hashed === "object" && hashed !== null) raise("TypeError", "a tuple of objects is no key here");
  return `${typeof hashed} ${String(hashed)}`;
}

/** Python's `==`. */
export function equal(a: Value, b: Value): boolean {
  if (a === b) return !(typeof a === "number" && Number.isNaN(a));
  if (isNumber(a) && isNumber(b)) return sameNumber(numeric(a), numeric(b));
  if (isList(a) && isList(b)) return equalItems(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return equalItems(a.items, b.items);
  if (a instanceof Dict && b instanceof Dict) {
    if (a.size !== b.size) return false;
    for (const [key, value] of a.entries()) {
      const other = b.get(key);
      if (other === undefined || !equal(value, other)) return false;
    }
    return true;
  }
  if (a instanceof Undefined) return b instanceof Undefined;
  return a instanceof Thing && (a.parts.equals?.(b) ?? false);
}

function equalItems(a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => equal(item, b[i] ?? null));
}

/** A bigint and a number are compared by their values. */
function sameNumber(a: bigint | number, b: bigint | number): boolean {
  return a <= b && a >= b;
}

export function numeric(value: bigint | boolean | number): bigint | number {
  return typeof value === "boolean" ? BigInt(value) : value;
}

/**
 * Negative, zero or positive as a is less, equal or more; undefined for NaN. @throws where they have no order
 */
export function compare(a: Value, b: Value, operator: string): number | undefined {
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    return x < y ? -1 : x > y ? 1 : sameNumber(x, y) ? 0 : undefined;
  }
  if (typeof a === "string" && typeof b === "string") return byCodePoint(a, b);
  for (const value of [a, b]) if (value instanceof Undefined) value.fail();
  const [left, right] = [a, b].map((x) => (isList(x) ? x : x instanceof Tuple ? x.items : undefined));
  if (!left || !right || isList(a) !== isList(b)) {
    raise(
      "TypeError",
      `'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
    );
  }
  for (const [i, item] of left.entries()) {
    const other = right[i];
    if (other === undefined) return 1;
    if (!equal(item, other)) return compare(item, other, operator);
  }
  return left.length - right.length;
}

/** A stable sort by Python's `<`. */
export function sorted(items: readonly { key: Value; value: Value }[], reverse: boolean): Value[] {
  const order = [...items].sort((a, b) => (reverse ? -1 : 1) * (compare(a.key, b.key, "<") ?? 0));
  return order.map(({ value }) => value);
}
