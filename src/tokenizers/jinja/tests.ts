import type { Natives, Run } from "./calls.js";
import { iterate } from "./calls.js";
import { raise } from "./fault.js";
import { binary } from "./values/arithmetic.js";
import { str } from "./values/printing.js";
import {
  compare,
  Dict,
  equal,
  isInt,
  isNumber,
  sequenceItems,
  Thing,
  typeName,
  Undefined,
  type Value,
} from "./values/values.js";

/** What stands after `is`. Reference: jinja2/tests.py */

/** Python's `in`. */
export function contains(of: Value, value: Value, run: Run): boolean {
  if (typeof of === "string") {
    if (value instanceof Undefined || typeof value !== "string") {
      return raise("TypeError", `'in <string>' requires string as left operand, not ${typeName(value)}`);
    }
    run.budget.spendText(of.length);
    return of.includes(value);
  }
  if (of instanceof Dict) return of.has(value);
  if (!(of instanceof Thing || of instanceof Undefined) && sequenceItems(of) === undefined) {
    raise("TypeError", `argument of type '${typeName(of)}' is not iterable`);
  }
  for (const item of iterate(of, run.budget)) if (equal(item, value)) return true;
  return false;
}

/** A comparison of Python's. */
export function holds(operator: string, a: Value, b: Value, run: Run): boolean {
  run.budget.spend(typeof a === "string" ? 1 + a.length / 64 : 1);
  if (operator === "==") return equal(a, b);
  if (operator === "!=") return !equal(a, b);
  if (operator === "in") return contains(b, a, run);
  if (operator === "not in") return !contains(b, a, run);
  const order = compare(a, b, operator);
  if (order === undefined) return false;
  if (operator === "<") return order < 0;
  if (operator === "<=") return order <= 0;
  return operator === ">" ? order > 0 : order >= 0;
}

const comparison = (operator: string): Natives<boolean>[string] => [
  "a b",
  ([a = null, b = null], run) => holds(operator, a, b, run),
];

function divisible(value: Value, by: Value, rest: bigint, run: Run): boolean {
  return equal(binary("%", value, by, run.budget), rest);
}

function isIterable(value: Value): boolean {
  if (typeof value === "string" || value instanceof Undefined || value instanceof Dict) return true;
  return value instanceof Thing ? value.parts.iterate !== undefined : sequenceItems(value) !== undefined;
}

/** Anything with a length and items by key. */
function isSequence(value: Value): boolean {
  if (typeof value === "string" || value instanceof Dict || value instanceof Undefined) return true;
  return sequenceItems(value) !== undefined;
}

function onlyCase(value: Value, has: RegExp, hasNot: RegExp, run: Run): boolean {
  const text = str(value, run.budget);
  return has.test(text) && !hasNot.test(text);
}

const eq = comparison("==");
const ne = comparison("!=");
const lt = comparison("<");
const le = comparison("<=");
const gt = comparison(">");
const ge = comparison(">=");

export const plainTests: Natives<boolean> = {
  odd: ["value", ([value = null], run) => divisible(value, 2n, 1n, run)],
  even: ["value", ([value = null], run) => divisible(value, 2n, 0n, run)],
  divisibleby: ["value num", ([value = null, num = null], run) => divisible(value, num, 0n, run)],
  defined: ["value", ([value]) => !(value instanceof Undefined)],
  undefined: ["value", ([value]) => value instanceof Undefined],
  none: ["value", ([value]) => value === null],
  boolean: ["value", ([value]) => typeof value === "boolean"],
  false: ["value", ([value]) => value === false],
  true: ["value", ([value]) => value === true],
  integer: ["value", ([value]) => typeof value === "bigint"],
  float: ["value", ([value]) => typeof value === "number"],
  number: ["value", ([value]) => isNumber(value)],
  string: ["value", ([value]) => typeof value === "string"],
  mapping: ["value", ([value]) => value instanceof Dict],
  sequence: ["value", ([value = null]) => isSequence(value)],
  iterable: ["value", ([value = null]) => isIterable(value)],
  callable: ["value", ([value]) => value instanceof Thing && value.parts.call !== undefined],
  lower: ["value", ([value = null], run) => onlyCase(value, /\p{Lowercase}/u, /[\p{Uppercase}\p{Lt}]/u, run)],
  upper: ["value", ([value = null], run) => onlyCase(value, /\p{Uppercase}/u, /[\p{Lowercase}\p{Lt}]/u, run)],
  // Small ints, strings and constants are one object in Python wherever they are equal.
  sameas: [
    "value other",
    ([value = null, other = null]) =>
      typeName(value) === typeName(other) && (value === other || (isInt(value) && equal(value, other))),
  ],
  escaped: ["value", () => false],
  in: ["value seq", ([value = null, seq = null], run) => contains(seq, value, run)],
  "==": eq,
  eq,
  equalto: eq,
  "!=": ne,
  ne,
  "<": lt,
  lt,
  lessthan: lt,
  "<=": le,
  le,
  ">": gt,
  gt,
  greaterthan: gt,
  ">=": ge,
  ge,
};

export function hasTest(name: string): boolean {
  return name === "filter" || name === "test" || Object.hasOwn(plainTests, name);
}
