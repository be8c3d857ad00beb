import { makeNamespace } from "./attributes.js";
import type { Run } from "./calls.js";
import { freeFunction, iterate } from "./calls.js";
import { raise, TemplateFault } from "./fault.js";
import { asText } from "./string_methods.js";
import { asIndex } from "./values/conversions.js";
import { repr, str } from "./values/printing.js";
import type { Args } from "./values/values.js";
import { Dict, equal, isInt, Thing, Tuple, Undefined, type Value } from "./values/values.js";

/** What every template may name. Reference: transformers/utils/chat_template_utils.py, jinja2/defaults.py */
export function globalNames(run: Run, strftime: (format: string) => string): [string, Value][] {
  return [
    ["range", freeFunction("range", ({ positional }) => range(positional, run))],
    ["namespace", freeFunction("namespace", (args) => makeNamespace(pairs(args, run), run))],
    ["dict", dictFunction(run)],
    ["cycler", freeFunction("cycler", ({ positional }) => cycler(positional, run))],
    ["joiner", freeFunction("joiner", ({ positional: [separator = ", "] }) => joiner(separator))],
    [
      "raise_exception",
      freeFunction("raise_exception", ({ positional: [message = null] }) => refuse(message, run)),
    ],
    ["strftime_now", freeFunction("strftime_now", ({ positional: [format] }) => strftime(asText(format)))],
    ["self", new Thing("TemplateReference", { repr: () => "<TemplateReference None>", attribute: noBlocks })],
    ["lipsum", freeFunction("lipsum", () => raise("NotImplementedError", "lipsum() writes random text"))],
  ];
}

function noBlocks(name: string): never {
  return raise("NotImplementedError", `peft.js does not have the template's own blocks: self.${name}`);
}

function refuse(message: Value, run: Run): never {
  throw new TemplateFault("raised", str(message, run.budget));
}

/** The entries of dict(...): those of a dict or of pairs, then named ones. */
function pairs({ positional: [from], named }: Args, run: Run): [Value, Value][] {
  const entries: [Value, Value][] = [];
  if (from instanceof Dict) entries.push(...from.entries());
  else if (from !== undefined) {
    for (const pair of iterate(from, run.budget)) {
      const [key, value, more] = [...iterate(pair, run.budget)];
      if (key === undefined || value === undefined || more !== undefined)
        raise("ValueError", "dict() needs pairs");
      entries.push([key, value]);
    }
  }
  return [...entries, ...named];
}

function dictFunction(run: Run): Thing {
  const fromKeys = freeFunction(
    "fromkeys",
    ({ positional: [keys = null, value = null] }) =>
      new Dict(Array.from(iterate(keys, run.budget), (key) => [key, value] as const)),
  );
  return new Thing("TemplateDict", {
    repr: () => "<TemplateDict>",
    attribute: (name) => (name === "fromkeys" ? fromKeys : undefined),
    call: (args) => new Dict(pairs(args, run)),
  });
}

const LONGEST_RANGE = 100_000;

function range(given: readonly Value[], run: Run): Thing {
  if (given.length === 0 || given.length > 3) raise("TypeError", "range expects 1 to 3 arguments");
  for (const value of given) {
    if (value instanceof Undefined) value.fail();
    if (!isInt(value)) asIndex(value ?? null, 0);
    if (value === null) raise("TypeError", "'NoneType' object cannot be interpreted as an integer");
  }
  const [from, to] =
    given.length === 1 ? [0, asIndex(given[0], 0)] : [asIndex(given[0], 0), asIndex(given[1], 0)];
  const step = asIndex(given[2], 1);
  if (step === 0) raise("ValueError", "range() arg 3 must not be zero");
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (length > LONGEST_RANGE) {
    raise(
      "OverflowError",
      `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${LONGEST_RANGE}).`,
    );
  }
  return makeRange({ from, to, step, length }, run);
}

type Range = { readonly from: number; readonly to: number; readonly step: number; readonly length: number };

function makeRange({ from, to, step, length }: Range, run: Run): Thing {
  const item = (i: number): Value => BigInt(from + i * step);
  const items = (): Value[] => {
    run.budget.spend(length);
    return Array.from({ length }, (_, i) => item(i));
  };
  const text = `range(${from}, ${to}${step === 1 ? "" : `, ${step}`})`;
  const attributes: { readonly [name: string]: number } = { start: from, stop: to, step };
  return new Thing("range", {
    repr: () => text,
    iterate: function* () {
      for (let i = 0; i < length; i++) yield item(i);
    },
    length: () => length,
    sequence: items,
    item: (key) => {
      if (!isInt(key)) return undefined;
      const at = Number(key) < 0 ? Number(key) + length : Number(key);
      return at >= 0 && at < length ? item(at) : undefined;
    },
    attribute: (name) => (Object.hasOwn(attributes, name) ? BigInt(attributes[name] ?? 0) : undefined),
    equals: (other) =>
      other instanceof Thing && other.type === "range" && equal(items(), other.parts.sequence?.() ?? null),
  });
}

function cycler(items: readonly Value[], run: Run): Thing {
  if (items.length === 0) raise("RuntimeError", "at least one item has to be provided");
  let at = 0;
  const current = (): Value => items[at] ?? null;
  const methods: { readonly [name: string]: () => Value } = {
    next: () => {
      const value = current();
      at = (at + 1) % items.length;
      return value;
    },
    reset: () => {
      at = 0;
      return null;
    },
  };
  return new Thing("Cycler", {
    repr: () => `<Cycler ${repr(new Tuple(items), run.budget)}>`,
    attribute: (name) => {
      if (name === "current") return current();
      const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
      return method && freeFunction(name, method);
    },
  });
}

function joiner(separator: Value): Thing {
  let used = false;
  return new Thing("Joiner", {
    repr: () => "<Joiner>",
    call: () => {
      const first = !used;
      used = true;
      return first ? "" : separator;
    },
  });
}
