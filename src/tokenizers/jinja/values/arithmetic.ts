import type { Budget } from "../budget.js";
import { raise } from "../fault.js";
import { toFloat } from "./conversions.js";
import { formatPercent } from "./formatting.js";
import { isInt, isList, isNumber, numeric, Tuple, typeName, Undefined, type Value } from "./values.js";

/** Python's operators on numbers, strings and lists. */
export function binary(operator: string, a: Value, b: Value, budget: Budget): Value {
  for (const value of [a, b]) if (value instanceof Undefined) value.fail();
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    if (typeof x === "bigint" && typeof y === "bigint") return onInts(operator, x, y, budget);
    return onFloats(operator, toFloat(x), toFloat(y));
  }
  if (operator === "+") {
    const sum = joined(a, b, budget);
    if (sum !== undefined) return sum;
  }
  if (operator === "*" && isInt(b)) return repeated(a, Number(b), budget) ?? unsupported(operator, a, b);
  if (operator === "*" && isInt(a)) return repeated(b, Number(a), budget) ?? unsupported(operator, a, b);
  if (operator === "%" && typeof a === "string") return formatPercent(a, b, budget);
  return unsupported(operator, a, b);
}

function unsupported(operator: string, a: Value, b: Value): never {
  if (operator === "+" && typeof a === "string") {
    raise("TypeError", `can only concatenate str (not "${typeName(b)}") to str`);
  }
  return raise(
    "TypeError",
    `unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`,
  );
}

function joined(a: Value, b: Value, budget: Budget): Value | undefined {
  if (typeof a === "string" && typeof b === "string") {
    budget.spendText(a.length + b.length);
    return a + b;
  }
  if (isList(a) && isList(b)) {
    budget.spend(a.length + b.length);
    return [...a, ...b];
  }
  if (!(a instanceof Tuple && b instanceof Tuple)) return undefined;
  budget.spend(a.items.length + b.items.length);
  return new Tuple([...a.items, ...b.items]);
}

function repeated(value: Value, times: number, budget: Budget): Value | undefined {
  const count = Math.max(0, times);
  if (typeof value === "string") {
    budget.spendText(value.length * count);
    return value.repeat(value === "" ? 0 : count);
  }
  const items = isList(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (!items) return undefined;
  budget.spend(items.length * count);
  const out = items.length === 0 ? [] : Array.from({ length: count }, () => items).flat();
  return isList(value) ? out : new Tuple(out);
}

/** Ints within these bounds cost no more than others. */
const SMALL = 2n ** 63n;
const bits = (value: bigint): number =>
  value < SMALL && value > -SMALL ? 64 : value.toString(16).length * 4;

function onInts(operator: string, a: bigint, b: bigint, budget: Budget): Value {
  budget.spend((bits(a) * bits(b)) / 4096);
  if (operator === "+") return a + b;
  if (operator === "-") return a - b;
  if (operator === "*") return a * b;
  if (operator === "**") return power(a, b, budget);
  if (b === 0n)
    raise("ZeroDivisionError", operator === "/" ? "division by zero" : "integer division or modulo by zero");
  if (operator === "/") return toFloat(a) / toFloat(b);
  const rest = a % b;
  const away = rest !== 0n && rest < 0n !== b < 0n; // Python rounds down where JavaScript rounds to zero
  if (operator === "//") return a / b - (away ? 1n : 0n);
  return away ? rest + b : rest;
}

function power(a: bigint, b: bigint, budget: Budget): Value {
  if (b < 0n) {
    if (a === 0n) raise("ZeroDivisionError", "zero to a negative power");
    return toFloat(a) ** toFloat(b);
  }
  if (a !== 0n && a !== 1n && a !== -1n) budget.spend((Number(b) * bits(a)) ** 1.6 / 4096);
  return a ** b;
}

function onFloats(operator: string, a: number, b: number): Value {
  if (operator === "+") return a + b;
  if (operator === "-") return a - b;
  if (operator === "*") return a * b;
  if (operator === "**") {
    if (a === 0 && b < 0) raise("ZeroDivisionError", "zero to a negative power");
    if (a < 0 && !Number.isInteger(b)) raise("TypeError", "complex numbers are not known here");
    const result = a ** b;
    if (!Number.isFinite(result) && Number.isFinite(a) && Number.isFinite(b)) {
      raise("OverflowError", "(34, 'Numerical result out of range')");
    }
    return result;
  }
  if (b === 0) raise("ZeroDivisionError", "float division by zero");
  if (operator === "/") return a / b;
  const rest = a % b;
  const modulo = rest !== 0 ? (rest < 0 !== b < 0 ? rest + b : rest) : b < 0 ? -0 : 0;
  if (operator === "%") return modulo;
  const quotient = (a - modulo) / b;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

export function negative(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return raise("TypeError", `bad operand type for unary -: '${typeName(value)}'`);
  return -numeric(value);
}

export function positive(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return raise("TypeError", `bad operand type for unary +: '${typeName(value)}'`);
  return numeric(value);
}
