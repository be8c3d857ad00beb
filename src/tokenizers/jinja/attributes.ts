import type { Natives, Run } from "./calls.js";
import { freeFunction, iterate, nativeFunction } from "./calls.js";
import { cut } from "./characters.js";
import { raise } from "./fault.js";
import { stringMethods } from "./string_methods.js";
import { asIndex, toInt } from "./values/conversions.js";
import { formatFields } from "./values/formatting.js";
import { dictText, repr } from "./values/printing.js";
import {
  Dict,
  equal,
  isInt,
  isList,
  isNumber,
  lengthOf,
  sequenceItems,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values/values.js";

/**
 * What a template reaches by a dot or by brackets. Reference: jinja2/sandbox.py
 * (ImmutableSandboxedEnvironment)
 */

/** Attributes of every object of Python's; they, and all with an underscore, are out of reach. */
const dunder =
  /^__(?:class|delattr|dir|doc|eq|format|ge|getattribute|getstate|gt|hash|init|init_subclass|le|lt|ne|new|reduce|reduce_ex|repr|setattr|sizeof|str|subclasshook|len|iter|contains|getitem|add|mul|rmul|mod|rmod|dict|module|call|globals|code|self|func|name|qualname)__$/;

/** Methods that change what they belong to: there, but not to be used. */
const changing: { readonly [type: string]: readonly string[] } = {
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
  list: ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
};

export function unsafeAttribute(of: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(of)}' object is unsafe.`, true);
}

function missing(of: Value, name: Value, run: Run): Undefined {
  const type = of === null ? "None" : `${typeName(of)} object`;
  return new Undefined(
    typeof name === "string"
      ? `'${type}' has no attribute '${name}'`
      : `${type} has no element ${repr(name, run.budget)}`,
  );
}

/** `of.name`: an attribute first, an item then. */
export function getAttribute(of: Value, name: string, run: Run): Value {
  if (of instanceof Undefined) of.fail();
  const own = ownAttribute(of, name, run);
  if (own !== undefined) return own;
  const item = of instanceof Dict ? of.get(name) : undefined;
  return item === undefined ? missing(of, name, run) : item;
}

/** `of[key]`: an item first, an attribute then. */
export function getItem(of: Value, key: Value, run: Run): Value {
  if (of instanceof Undefined) of.fail();
  if (typeof of === "string") run.budget.spendText(of.length);
  const item = ownItem(of, key);
  if (item !== undefined) return item;
  return (typeof key === "string" ? ownAttribute(of, key, run) : undefined) ?? missing(of, key, run);
}

function ownItem(of: Value, key: Value): Value | undefined {
  if (of instanceof Dict) return isList(key) || key instanceof Dict ? undefined : of.get(key);
  if (of instanceof Thing && of.parts.item) return of.parts.item(key);
  const items = typeof of === "string" ? undefined : sequenceItems(of);
  if (!isInt(key) || (items === undefined && typeof of !== "string")) return undefined;
  const length = lengthOf(of) ?? 0;
  const at = Number(key) < 0 ? Number(key) + length : Number(key);
  if (at < 0 || at >= length) return undefined;
  return items ? items[at] : cut(String(of), at, at + 1);
}

function ownAttribute(of: Value, name: string, run: Run): Value | undefined {
  if (dunder.test(name)) return unsafeAttribute(of, name);
  if (changing[typeName(of)]?.includes(name)) return unsafeAttribute(of, name);
  if (of instanceof Thing) {
    const value = of.parts.attribute?.(name);
    return value !== undefined && name.startsWith("_") ? unsafeAttribute(of, name) : value;
  }
  if (typeof of === "string" && (name === "format" || name === "format_map"))
    return formatMethod(of, name, run);
  const natives = methodsOf(of);
  if (natives && Object.hasOwn(natives, name)) return bound(of, name, natives, run);
  return isNumber(of) ? numberAttribute(of, name) : undefined;
}

function methodsOf(of: Value): Natives | undefined {
  if (typeof of === "string") return stringMethods;
  if (of instanceof Dict) return dictMethods;
  if (isList(of)) return { ...sequenceMethods, copy: ["s", ([list]) => list ?? null] };
  if (of instanceof Tuple) return sequenceMethods;
  return typeof of === "number" ? floatMethods : isInt(of) ? intMethods : undefined;
}

function bound(of: Value, name: string, natives: Natives, run: Run): Value {
  const native = natives[name];
  if (!native) return raise("AttributeError", name);
  const [parameters, body] = native;
  // The first parameter is the object itself.
  const rest = parameters.split(" ").slice(1).join(" ");
  return nativeFunction(
    name,
    [
      rest,
      (given) => {
        if (typeof of === "string") run.budget.spendText(of.length);
        return body([of, ...given], run);
      },
    ],
    run,
    "built-in method",
  );
}

function formatMethod(text: string, name: string, run: Run): Value {
  return freeFunction(name, ({ positional, named }) => {
    if (name === "format") return formatFields(text, positional, new Dict(named), run, run.budget);
    const [map] = positional;
    return map instanceof Dict
      ? formatFields(text, [], map, run, run.budget)
      : raise("TypeError", "a dict is needed");
  });
}

/** dict.keys(), .values() and .items(): views. */
function view(of: Dict, kind: "keys" | "values" | "items", run: Run): Thing {
  const items = (): Value[] => {
    run.budget.spend(of.size);
    if (kind === "keys") return [...of.keys()];
    return kind === "values" ? [...of.values()] : Array.from(of.entries(), (entry) => new Tuple([...entry]));
  };
  return new Thing(`dict_${kind}`, {
    repr: () => `dict_${kind}(${repr(items(), run.budget)})`,
    iterate: () => items()[Symbol.iterator](),
    length: () => of.size,
  });
}

const self = (value: Value | undefined): Dict =>
  value instanceof Dict ? value : raise("TypeError", "no dict");

const dictMethods: Natives = {
  keys: ["d", ([d], run) => view(self(d), "keys", run)],
  values: ["d", ([d], run) => view(self(d), "values", run)],
  items: ["d", ([d], run) => view(self(d), "items", run)],
  get: [
    "d key default?",
    ([d, key = null, otherwise = null]) => {
      const value = self(d).get(key);
      return value === undefined ? otherwise : value;
    },
  ],
  copy: ["d", ([d]) => new Dict(self(d).entries())],
};

const sequenceMethods: Natives = {
  index: [
    "s value start? stop?",
    ([s, value, start, stop], run) => {
      const items = sequenceItems(s ?? null) ?? [];
      const clamp = (at: number): number => (at < 0 ? Math.max(0, at + items.length) : at);
      for (
        let i = clamp(asIndex(start, 0));
        i < Math.min(items.length, clamp(asIndex(stop, items.length)));
        i++
      ) {
        run.budget.spend(1);
        if (equal(items[i] ?? null, value ?? null)) return BigInt(i);
      }
      return raise("ValueError", `${repr(value ?? null, run.budget)} is not in list`);
    },
  ],
  count: [
    "s value",
    ([s, value], run) => {
      let count = 0n;
      for (const item of iterate(s ?? null, run.budget)) if (equal(item, value ?? null)) count++;
      return count;
    },
  ],
};

const intMethods: Natives = {
  bit_length: ["n", ([n]) => BigInt((toInt(n ?? null) ?? 0n).toString(2).replace(/^-|^0$/, "").length)],
  conjugate: ["n", ([n]) => toInt(n ?? null) ?? null],
  as_integer_ratio: ["n", ([n]) => new Tuple([toInt(n ?? null) ?? 0n, 1n])],
};
const floatMethods: Natives = {
  is_integer: ["x", ([x]) => Number.isInteger(x)],
  conjugate: ["x", ([x]) => x ?? null],
};

function numberAttribute(of: bigint | boolean | number, name: string): Value | undefined {
  const whole = typeof of === "number" ? of : BigInt(of);
  if (name === "real") return whole;
  if (name === "imag") return typeof of === "number" ? 0 : 0n;
  if (typeof of === "number") return undefined;
  return name === "numerator" ? whole : name === "denominator" ? 1n : undefined;
}

/** namespace(...): the one object of a template that can be changed. */
export function makeNamespace(attributes: Iterable<readonly [Value, Value]>, run: Run): Thing {
  const check = (name: Value): Value => {
    if (typeof name !== "string" || !name.startsWith("_")) return name;
    return raise("SecurityError", `a namespace cannot hold '${name}': its name begins with an underscore`);
  };
  const held = new Dict(Array.from(attributes, ([name, value]) => [check(name), value] as const));
  return new Thing("Namespace", {
    repr: () => `<Namespace ${run.budget.deeper(() => dictText(held.entries(), run.budget))}>`,
    attribute: (name) => held.get(name),
    assign: (name, value) => held.set(check(name), value),
  });
}
