import type { Budget } from "./budget.js";
import { raise } from "./fault.js";
import { type Args, Dict, isList, Thing, Tuple, typeName, Undefined, type Value } from "./values/values.js";

/** What a filter, a test or a method may use of the rendering that it runs in. */
export type Run = {
  readonly budget: Budget;
  attribute(of: Value, name: string): Value;
  item(of: Value, key: Value): Value;
  call(target: Value, args: Args): Value;
  filter(name: string, args: Args): Value;
  test(name: string, args: Args): boolean;
};

/** A function's parameters, separated by spaces, `?` after those that may be left out, and what it does. */
export type Native<T = Value> = readonly [
  parameters: string,
  run: (given: readonly (Value | undefined)[], run: Run) => T,
];

/** Natives by name. */
export type Natives<T = Value> = { readonly [name: string]: Native<T> };

/** Calls a native by Python's rules for positional and named arguments. */
export function callNative<T>(name: string, [parameters, body]: Native<T>, args: Args, run: Run): T {
  const names = parameters.split(" ").filter((part) => part !== "");
  if (args.positional.length > names.length) {
    raise("TypeError", `${name}() takes at most ${names.length} arguments (${args.positional.length} given)`);
  }
  const given: (Value | undefined)[] = [...args.positional];
  for (const [key, value] of args.named) {
    const at = names.findIndex((part) => part.replace("?", "") === key);
    if (at < 0) raise("TypeError", `${name}() got an unexpected keyword argument '${key}'`);
    if (given[at] !== undefined) raise("TypeError", `${name}() got multiple values for argument '${key}'`);
    given[at] = value;
  }
  const missing = names.find((part, i) => !part.endsWith("?") && given[i] === undefined);
  if (missing !== undefined) raise("TypeError", `${name}() missing a required argument: '${missing}'`);
  return body(given, run);
}

/** A native as a value. */
export function nativeFunction(name: string, native: Native, run: Run, type = "function"): Thing {
  const call = (args: Args): Value => callNative(name, native, args, run);
  return new Thing(type, { repr: () => `<${type} ${name}>`, call });
}

/** A function that takes its arguments as they are. */
export function freeFunction(name: string, call: (args: Args) => Value): Thing {
  return new Thing("function", { repr: () => `<function ${name}>`, call });
}

export const noArgs: ReadonlyMap<string, Value> = new Map();

export function args(...positional: readonly Value[]): Args {
  return { positional, named: noArgs };
}

/** Iterates over a value as Python's for does, at a step of the budget an item. */
export function* iterate(value: Value, budget: Budget): Generator<Value> {
  for (const item of { [Symbol.iterator]: () => iteratorOf(value) }) {
    budget.spend(1);
    yield item;
  }
}

function iteratorOf(value: Value): Iterator<Value> {
  if (typeof value === "string") return value[Symbol.iterator]();
  if (isList(value)) return value[Symbol.iterator]();
  if (value instanceof Tuple) return value.items[Symbol.iterator]();
  if (value instanceof Dict) return value.keys();
  if (value instanceof Undefined) return [][Symbol.iterator]();
  const iterator = value instanceof Thing ? value.parts.iterate?.() : undefined;
  return iterator ?? raise("TypeError", `'${typeName(value)}' object is not iterable`);
}

/** A generator of Python's: it yields its items once. */
export function generator(name: string, items: Iterator<Value>): Thing {
  return new Thing("generator", { repr: () => `<generator object ${name}>`, iterate: () => items });
}
