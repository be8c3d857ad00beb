import type { CallArguments, Expression } from "./ast.js";
import { args, iterate, type Run } from "./calls.js";
import { cut } from "./characters.js";
import { raise } from "./fault.js";
import { holds } from "./tests.js";
import { binary, negative, positive } from "./values/arithmetic.js";
import { sliceBounds } from "./values/conversions.js";
import { str } from "./values/printing.js";
import type { Args } from "./values/values.js";
import {
  Dict,
  isTrue,
  lengthOf,
  sequenceItems,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values/values.js";

/** Names and their values, within those around them. */
export type Scope = { readonly names: Map<string, Value>; readonly parent: Scope | undefined };

export function inner(parent: Scope | undefined, names: Iterable<readonly [string, Value]> = []): Scope {
  return { names: new Map(names), parent };
}

export function lookUp(name: string, scope: Scope): Value {
  for (let at: Scope | undefined = scope; at; at = at.parent) {
    const value = at.names.get(name);
    if (value !== undefined) return value;
  }
  return new Undefined(`'${name}' is undefined`);
}

type Kind = Expression["kind"];
type OfKind<K extends Kind> = Expression extends infer E
  ? E extends { readonly kind: infer Q }
    ? K extends Q
      ? E
      : never
    : never
  : never;
type Evaluators = { [K in Kind]: (node: OfKind<K>, scope: Scope, run: Run) => Value };

/** The value of an expression. */
export function evaluate(node: Expression, scope: Scope, run: Run): Value {
  run.budget.spend(1);
  const evaluator = evaluators[node.kind] as (node: Expression, scope: Scope, run: Run) => Value;
  return evaluator(node, scope, run);
}

const evaluators: Evaluators = {
  constant: ({ value }) => value,
  name: ({ name }, scope) => lookUp(name, scope),
  list: ({ items }, scope, run) => items.map((item) => evaluate(item, scope, run)),
  tuple: ({ items }, scope, run) => new Tuple(items.map((item) => evaluate(item, scope, run))),
  dict: ({ entries }, scope, run) =>
    new Dict(
      entries.map(([key, value]) => [evaluate(key, scope, run), evaluate(value, scope, run)] as const),
    ),
  attribute: ({ of, name }, scope, run) => run.attribute(evaluate(of, scope, run), name),
  item: ({ of, key }, scope, run) => {
    const value = evaluate(of, scope, run);
    return run.item(value, evaluate(key, scope, run));
  },
  slice: ({ of, bounds }, scope, run) => {
    const value = evaluate(of, scope, run);
    const [start = null, stop = null, step = null] = bounds.map((b) => (b ? evaluate(b, scope, run) : null));
    return slice(value, start, stop, step, run);
  },
  call: ({ of, args: given }, scope, run) => {
    const target = evaluate(of, scope, run);
    return run.call(target, evaluateArguments(given, scope, run));
  },
  filter: ({ of, name, args: given }, scope, run) => {
    if (!of) return raise("TemplateSyntaxError", `the filter '${name}' has nothing to filter`);
    return run.filter(name, withFirst(evaluate(of, scope, run), evaluateArguments(given, scope, run)));
  },
  test: ({ of, name, args: given }, scope, run) =>
    run.test(name, withFirst(evaluate(of, scope, run), evaluateArguments(given, scope, run))),
  not: ({ of }, scope, run) => !isTrue(evaluate(of, scope, run)),
  negative: ({ of }, scope, run) => negative(evaluate(of, scope, run)),
  positive: ({ of }, scope, run) => positive(evaluate(of, scope, run)),
  and: ({ left, right }, scope, run) => {
    const value = evaluate(left, scope, run);
    return isTrue(value) ? evaluate(right, scope, run) : value;
  },
  or: ({ left, right }, scope, run) => {
    const value = evaluate(left, scope, run);
    return isTrue(value) ? value : evaluate(right, scope, run);
  },
  binary: ({ operator, left, right }, scope, run) => {
    const value = evaluate(left, scope, run);
    return binary(operator, value, evaluate(right, scope, run), run.budget);
  },
  concat: ({ parts }, scope, run) => {
    const text = parts.map((part) => str(evaluate(part, scope, run), run.budget)).join("");
    run.budget.spendText(text.length);
    return text;
  },
  compare: ({ first, rest }, scope, run) => {
    let left = evaluate(first, scope, run);
    for (const { operator, value } of rest) {
      const right = evaluate(value, scope, run);
      if (!holds(operator, left, right, run)) return false;
      left = right;
    }
    return true;
  },
  choice: ({ test, value, otherwise }, scope, run) => {
    if (isTrue(evaluate(test, scope, run))) return evaluate(value, scope, run);
    if (otherwise) return evaluate(otherwise, scope, run);
    return new Undefined("the inline if-expression evaluated to false and no else section was defined.");
  },
};

function slice(of: Value, start: Value, stop: Value, step: Value, run: Run): Value {
  if (of instanceof Undefined) of.fail();
  const items = typeof of === "string" ? undefined : sequenceItems(of);
  if (items === undefined && typeof of !== "string") {
    return raise("TypeError", `'${typeName(of)}' object is not subscriptable`);
  }
  const { from, by, count } = sliceBounds(lengthOf(of) ?? 0, start, stop, step);
  if (typeof of === "string") run.budget.spendText(of.length);
  if (typeof of === "string" && by === 1) return cut(of, from, from + count);
  run.budget.spend(count);
  const source = items ?? [...String(of)];
  const taken = Array.from({ length: count }, (_, i) => source[from + i * by] ?? null);
  if (typeof of === "string") return taken.join("");
  return of instanceof Tuple ? new Tuple(taken) : taken;
}

export function withFirst(first: Value, given: Args): Args {
  return given.positional.length === 0 && given.named.size === 0
    ? args(first)
    : { positional: [first, ...given.positional], named: given.named };
}

/** The arguments of a call, those of `*list` and `**dict` among them. */
export function evaluateArguments(given: CallArguments, scope: Scope, run: Run): Args {
  const positional = given.positional.map((node) => evaluate(node, scope, run));
  if (given.list) positional.push(...iterate(evaluate(given.list, scope, run), run.budget));
  const named = new Map(given.named.map(([name, node]) => [name, evaluate(node, scope, run)] as const));
  const more = given.dict ? evaluate(given.dict, scope, run) : new Dict();
  if (!(more instanceof Dict)) return raise("TypeError", "argument after ** must be a mapping");
  for (const [key, value] of more.entries()) {
    if (typeof key !== "string") return raise("TypeError", "keywords must be strings");
    named.set(key, value);
  }
  return { positional, named };
}
