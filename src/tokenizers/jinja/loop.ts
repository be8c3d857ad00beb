import { freeFunction, type Run } from "./calls.js";
import { raise } from "./fault.js";
import type { Args } from "./values/values.js";
import { equal, lengthOf, Thing, Tuple, Undefined, type Value } from "./values/values.js";

/** The items of a `for` and what `loop` tells of them. Reference: jinja2/runtime.py (LoopContext) */
export type Loop = {
  /** The next item, undefined at the end. */
  next(): Value | undefined;
  readonly variable: Thing;
};

export type LoopOptions = {
  readonly depth: number;
  /** Renders the loop's body for other items, in a loop that is marked recursive. */
  readonly recurse: ((over: Value) => Value) | undefined;
};

export function makeLoop(over: Value, items: Iterator<Value>, options: LoopOptions, run: Run): Loop {
  let index0 = -1;
  let after: { item: Value | undefined } | undefined; // an item that was looked at before its turn
  let current: Value | undefined;
  let before: Value | undefined;
  let length: number | undefined;
  let changed: Value | undefined;
  let rest = items;
  const advance = (): Value | undefined => {
    const { value, done } = rest.next();
    return done ? undefined : value;
  };
  const peek = (): Value | undefined => {
    after ??= { item: advance() };
    return after.item;
  };
  const next = (): Value | undefined => {
    const item = after ? after.item : advance();
    after = undefined;
    if (item === undefined) return undefined;
    index0++;
    before = current;
    current = item;
    return item;
  };
  const size = (): number => {
    length ??= lengthOf(over) ?? count();
    return length;
  };
  /** A generator has no length: all of it is read, and kept for later. */
  const count = (): number => {
    const left: Value[] = [];
    for (let item = advance(); item !== undefined; item = advance()) left.push(item);
    rest = left[Symbol.iterator]();
    return left.length + index0 + 1 + (after?.item === undefined ? 0 : 1);
  };
  const attributes: { readonly [name: string]: () => Value } = {
    index: () => BigInt(index0 + 1),
    index0: () => BigInt(index0),
    revindex: () => BigInt(size() - index0),
    revindex0: () => BigInt(size() - index0 - 1),
    first: () => index0 === 0,
    last: () => peek() === undefined,
    length: () => BigInt(size()),
    depth: () => BigInt(options.depth + 1),
    depth0: () => BigInt(options.depth),
    previtem: () =>
      index0 === 0 || before === undefined ? new Undefined("there is no previous item") : before,
    nextitem: () => peek() ?? (after?.item === null ? null : new Undefined("there is no next item")),
    cycle: () => freeFunction("cycle", ({ positional }) => cycle(positional, index0)),
    changed: () =>
      freeFunction("changed", ({ positional }) => {
        const value = new Tuple(positional);
        const differs = changed === undefined || !equal(changed, value);
        changed = value;
        return differs;
      }),
  };
  const call = ({ positional: [inside = null] }: Args): Value => {
    if (options.recurse) return options.recurse(inside);
    return raise("TypeError", "The loop must have the 'recursive' marker to be called recursively.");
  };
  const variable = new Thing("LoopContext", {
    repr: () => `<LoopContext ${index0 + 1}/${size()}>`,
    attribute: (name) => (Object.hasOwn(attributes, name) ? attributes[name]?.() : undefined),
    length: size,
    call: (given) => run.budget.deeper(() => call(given)),
  });
  return { next, variable };
}

function cycle(items: readonly Value[], index: number): Value {
  if (items.length === 0) raise("TypeError", "no items for cycling given");
  return items[index % items.length] ?? null;
}
