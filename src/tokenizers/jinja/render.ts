import type { Body, FilterExpression, ForStatement, MacroDefinition, Statement, Target } from "./ast.js";
import { getAttribute, getItem } from "./attributes.js";
import type { Budget } from "./budget.js";
import { callNative, iterate, type Run } from "./calls.js";
import { filterNamed, hasFilter } from "./collections.js";
import { evaluate, evaluateArguments, inner, lookUp, type Scope, withFirst } from "./evaluate.js";
import { raise, TemplateFault } from "./fault.js";
import { globalNames } from "./globals.js";
import { makeLoop } from "./loop.js";
import { plainTests } from "./tests.js";
import { str } from "./values/printing.js";
import type { Args } from "./values/values.js";
import { Dict, isTrue, Thing, Tuple, Undefined, type Value } from "./values/values.js";

/** Text on its way out. */
type Output = { readonly chunks: string[]; length: number };

type Rendering = {
  readonly run: Run;
  /** The text of the template itself: macros and blocks write into outputs of their own first. */
  readonly root: Output;
  readonly scope: Scope;
  readonly generated: [number, number][];
};

/** How a body ended, if not at its end. */
type Jump = "break" | "continue" | undefined;

export type RenderOptions = {
  readonly variables: Iterable<readonly [string, Value]>;
  readonly budget: Budget;
  readonly strftime: (format: string) => string;
};

/** Runs a template. `generated` holds the spans of the text that stand in `{% generation %}` blocks. */
export function render(body: Body, options: RenderOptions): { text: string; generated: [number, number][] } {
  const run = makeRun(options.budget);
  const globals = inner(undefined, globalNames(run, options.strftime));
  const root: Output = { chunks: [], length: 0 };
  const rendering = { run, root, scope: inner(globals, options.variables), generated: [] };
  execute(body, rendering.scope, root, rendering);
  return { text: root.chunks.join(""), generated: rendering.generated };
}

function makeRun(budget: Budget): Run {
  const run: Run = {
    budget,
    attribute: (of, name) => getAttribute(of, name, run),
    item: (of, key) => getItem(of, key, run),
    call: (target, given) => {
      if (target instanceof Undefined) target.fail();
      const call = target instanceof Thing ? target.parts.call : undefined;
      return call ? call(given) : raise("TypeError", `${str(target, budget)} is not callable`);
    },
    filter: (name, given) => filterNamed(name)(given, run),
    test: (name, given) => runTest(name, given, run),
  };
  return run;
}

function runTest(name: string, given: Args, run: Run): boolean {
  if (name === "filter" || name === "test") {
    const [value] = given.positional;
    return (
      typeof value === "string" && (name === "filter" ? hasFilter(value) : Object.hasOwn(plainTests, value))
    );
  }
  const test = Object.hasOwn(plainTests, name) ? plainTests[name] : undefined;
  return test
    ? callNative(name, test, given, run)
    : raise("TemplateAssertionError", `No test named '${name}'.`);
}

function write(text: string, out: Output, { run }: Rendering): undefined {
  run.budget.spendText(text.length);
  if (text === "") return;
  out.chunks.push(text);
  out.length += text.length;
}

function execute(body: Body, scope: Scope, out: Output, rendering: Rendering): Jump {
  for (const statement of body) {
    try {
      rendering.run.budget.spend(1);
      const jump = executors[statement.kind](statement as never, scope, out, rendering);
      if (jump) return jump;
    } catch (error) {
      if (error instanceof TemplateFault) error.line ??= statement.line;
      throw error;
    }
  }
  return undefined;
}

type Kind = Statement["kind"];
type OfKind<K extends Kind> = Statement extends infer S
  ? S extends { readonly kind: infer Q }
    ? K extends Q
      ? S
      : never
    : never
  : never;
type Executors = {
  [K in Kind]: (statement: OfKind<K>, scope: Scope, out: Output, rendering: Rendering) => Jump;
};

const executors: Executors = {
  text: ({ text }, _scope, out, r) => write(text, out, r),
  print: ({ values }, scope, out, r) => {
    for (const value of values) write(str(evaluate(value, scope, r.run), r.run.budget), out, r);
    return undefined;
  },
  if: ({ branches, otherwise }, scope, out, r) => {
    const branch = branches.find(({ test }) => isTrue(evaluate(test, scope, r.run)));
    return execute(branch?.body ?? otherwise, scope, out, r);
  },
  for: (statement, scope, out, r) => {
    const over = evaluate(statement.over, scope, r.run);
    return executeFor(statement, over, 0, scope, out, r);
  },
  set: ({ target, value }, scope, _out, r) => assign(target, evaluate(value, scope, r.run), scope, r),
  "set-block": ({ target, filter, body }, scope, _out, r) => {
    const text = capture(body, inner(scope), r);
    return assign(target, filter ? throughFilter(filter, text, scope, r) : text, scope, r);
  },
  macro: (definition, scope, _out, r) => {
    scope.names.set(definition.name, makeMacro(definition.name, definition, scope, r));
    return undefined;
  },
  "call-block": (definition, scope, out, r) => {
    const { call } = definition;
    if (call.kind !== "call") return undefined;
    const target = evaluate(call.of, scope, r.run);
    const given = evaluateArguments(call.args, scope, r.run);
    const named = new Map([...given.named, ["caller", makeMacro("caller", definition, scope, r)] as const]);
    return write(str(r.run.call(target, { positional: given.positional, named }), r.run.budget), out, r);
  },
  "filter-block": ({ filter, body }, scope, out, r) => {
    const text = capture(body, inner(scope), r);
    return write(str(throughFilter(filter, text, scope, r), r.run.budget), out, r);
  },
  with: ({ bindings, body }, scope, out, r) => {
    const made = inner(scope);
    // All values are computed before any name is bound.
    const values = bindings.map(({ value }) => evaluate(value, scope, r.run));
    for (const [i, { target }] of bindings.entries()) assign(target, values[i] ?? null, made, r);
    return execute(body, made, out, r);
  },
  block: ({ body }, _scope, out, r) => execute(body, inner(r.scope), out, r),
  scope: ({ body }, scope, out, r) => execute(body, inner(scope), out, r),
  generation: ({ body }, scope, out, r) => {
    const text = capture(body, inner(scope), r);
    r.generated.push([r.root.length, r.root.length + text.length]);
    return write(text, out, r);
  },
  break: () => "break",
  continue: () => "continue",
  "other-template": ({ tag }) =>
    raise("TypeError", `{% ${tag} %} needs another template, and there is no loader`),
};

/** The text that a body writes. */
function capture(body: Body, scope: Scope, rendering: Rendering): string {
  const out: Output = { chunks: [], length: 0 };
  execute(body, scope, out, rendering);
  return out.chunks.join("");
}

function throughFilter(filter: FilterExpression, text: string, scope: Scope, r: Rendering): Value {
  const value = filter.of?.kind === "filter" ? throughFilter(filter.of, text, scope, r) : text;
  return r.run.filter(filter.name, withFirst(value, evaluateArguments(filter.args, scope, r.run)));
}

function assign(target: Target, value: Value, scope: Scope, r: Rendering): undefined {
  if (target.kind === "name") scope.names.set(target.name, value);
  else if (target.kind === "namespace") {
    const space = lookUp(target.name, scope);
    if (space instanceof Undefined) space.fail();
    const set = space instanceof Thing ? space.parts.assign : undefined;
    if (!set) raise("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
    set(target.attribute, value);
  } else {
    const items = [...iterate(value, r.run.budget)];
    if (items.length !== target.items.length) {
      const few = items.length < target.items.length;
      raise(
        "ValueError",
        `${few ? "not enough" : "too many"} values to unpack (expected ${target.items.length})`,
      );
    }
    for (const [i, part] of target.items.entries()) assign(part, items[i] ?? null, scope, r);
  }
}

/** The items of a loop that its `if` lets pass. */
function* filtered(statement: ForStatement, over: Value, scope: Scope, r: Rendering): Generator<Value> {
  for (const item of iterate(over, r.run.budget)) {
    if (statement.test) {
      const within = inner(scope);
      assign(statement.target, item, within, r);
      if (!isTrue(evaluate(statement.test, within, r.run))) continue;
    }
    yield item;
  }
}

function executeFor(
  statement: ForStatement,
  over: Value,
  depth: number,
  scope: Scope,
  out: Output,
  r: Rendering,
): undefined {
  const recurse = (inside: Value): Value => {
    const made: Output = { chunks: [], length: 0 };
    executeFor(statement, inside, depth + 1, scope, made, r);
    return made.chunks.join("");
  };
  const items = filtered(statement, over, scope, r);
  const options = { depth, recurse: statement.recursive ? recurse : undefined };
  const loop = makeLoop(statement.test ? null : over, items, options, r.run);
  let ran = false;
  for (let item = loop.next(); item !== undefined; item = loop.next()) {
    ran = true;
    const within = inner(scope, [["loop", loop.variable]]);
    assign(statement.target, item, within, r);
    if (execute(statement.body, within, out, r) === "break") return;
  }
  if (!ran) execute(statement.otherwise, inner(scope), out, r);
}

/** A macro: a function whose value is the text it writes. Reference: jinja2/runtime.py (Macro) */
function makeMacro(name: string, definition: MacroDefinition, scope: Scope, r: Rendering): Thing {
  const { parameters } = definition;
  const known: { readonly [attribute: string]: Value } = {
    name,
    arguments: new Tuple(parameters.map((parameter) => parameter.name)),
    catch_kwargs: definition.uses.includes("kwargs"),
    catch_varargs: definition.uses.includes("varargs"),
    caller: definition.uses.includes("caller"),
  };
  return new Thing("Macro", {
    repr: () => `<Macro '${name}'>`,
    attribute: (attribute) => (Object.hasOwn(known, attribute) ? known[attribute] : undefined),
    call: (given) =>
      r.run.budget.deeper(() => capture(definition.body, bindMacro(name, definition, given, scope, r), r)),
  });
}

function bindMacro(
  name: string,
  definition: MacroDefinition,
  given: Args,
  scope: Scope,
  r: Rendering,
): Scope {
  const { parameters, uses } = definition;
  const within = inner(scope);
  const named = new Map(given.named);
  parameters.forEach((parameter, i) => {
    const value = i < given.positional.length ? given.positional[i] : named.get(parameter.name);
    if (i >= given.positional.length) named.delete(parameter.name);
    const otherwise = (): Value =>
      parameter.otherwise
        ? evaluate(parameter.otherwise, within, r.run)
        : new Undefined(`parameter '${parameter.name}' was not provided`);
    within.names.set(parameter.name, value === undefined ? otherwise() : value);
  });
  if (uses.includes("caller") && !parameters.some((parameter) => parameter.name === "caller")) {
    within.names.set("caller", named.get("caller") ?? new Undefined("No caller defined"));
    named.delete("caller");
  }
  if (uses.includes("kwargs")) within.names.set("kwargs", new Dict(named));
  else
    for (const key of named.keys()) raise("TypeError", `macro '${name}' takes no keyword argument '${key}'`);
  const rest = given.positional.slice(parameters.length);
  if (uses.includes("varargs")) within.names.set("varargs", new Tuple(rest));
  else if (rest.length > 0)
    raise("TypeError", `macro '${name}' takes not more than ${parameters.length} argument(s)`);
  return within;
}
