import type { CallArguments, Expression, FilterExpression } from "./ast.js";
import { TemplateFault } from "./fault.js";
import type { Token } from "./lexer.js";

/** A place in a list of tokens. */
export type Tokens = { readonly all: readonly Token[]; at: number };

const end: Token = { type: "eof", value: "", line: 0 };

export function peek(t: Tokens, ahead = 0): Token {
  return t.all[t.at + ahead] ?? t.all.at(-1) ?? end;
}

export function next(t: Tokens): Token {
  const token = peek(t);
  if (token.type !== "eof") t.at++;
  return token;
}

export function fail(t: Tokens, message: string): never {
  throw new TemplateFault("syntax", message, peek(t).line);
}

export function is(t: Tokens, type: Token["type"], value: string, ahead = 0): boolean {
  const token = peek(t, ahead);
  return token.type === type && token.value === value;
}

export const isWord = (t: Tokens, word: string, ahead = 0): boolean => is(t, "name", word, ahead);
export const isOperator = (t: Tokens, operator: string, ahead = 0): boolean =>
  is(t, "operator", operator, ahead);

/** Takes a token if it is next. */
export function skip(t: Tokens, type: Token["type"], value: string): boolean {
  const found = is(t, type, value);
  if (found) t.at++;
  return found;
}

export function expect(t: Tokens, type: Token["type"], value?: string): Token {
  const token = peek(t);
  if (token.type === type && (value === undefined || token.value === value)) return next(t);
  const wanted = value ?? type;
  const got = token.type === "eof" ? "the end of the template" : `'${token.value}'`;
  return fail(t, `expected '${wanted}', got ${got}`);
}

/** Binary operators that have the same place, from the loosest. */
const additive = ["+", "-"];
const multiplicative = ["*", "/", "//", "%"];
const comparisons = ["==", "!=", "<", "<=", ">", ">="];

/** An expression; without its `if` where a block's own may follow. */
export function parseExpression(t: Tokens, withChoice = true): Expression {
  let expression = parseOr(t);
  while (withChoice && skip(t, "name", "if")) {
    const test = parseOr(t);
    const otherwise = skip(t, "name", "else") ? parseExpression(t) : undefined;
    expression = { kind: "choice", test, value: expression, otherwise };
  }
  return expression;
}

function parseOr(t: Tokens): Expression {
  let left = parseAnd(t);
  while (skip(t, "name", "or")) left = { kind: "or", left, right: parseAnd(t) };
  return left;
}

function parseAnd(t: Tokens): Expression {
  let left = parseNot(t);
  while (skip(t, "name", "and")) left = { kind: "and", left, right: parseNot(t) };
  return left;
}

function parseNot(t: Tokens): Expression {
  return skip(t, "name", "not") ? { kind: "not", of: parseNot(t) } : parseComparison(t);
}

function parseComparison(t: Tokens): Expression {
  const first = parseBinary(t, additive, parseConcat);
  const rest: { operator: string; value: Expression }[] = [];
  for (let operator = takeComparison(t); operator; operator = takeComparison(t)) {
    rest.push({ operator, value: parseBinary(t, additive, parseConcat) });
  }
  return rest.length === 0 ? first : { kind: "compare", first, rest };
}

function takeComparison(t: Tokens): string | undefined {
  if (skip(t, "name", "in")) return "in";
  if (isWord(t, "not") && isWord(t, "in", 1)) {
    t.at += 2;
    return "not in";
  }
  return peek(t).type === "operator" && comparisons.includes(peek(t).value) ? next(t).value : undefined;
}

function parseBinary(
  t: Tokens,
  operators: readonly string[],
  operand: (t: Tokens) => Expression,
): Expression {
  let left = operand(t);
  while (peek(t).type === "operator" && operators.includes(peek(t).value)) {
    const operator = next(t).value;
    left = { kind: "binary", operator, left, right: operand(t) };
  }
  return left;
}

function parseConcat(t: Tokens): Expression {
  const first = parseBinary(t, multiplicative, parsePower);
  const parts = [first];
  while (skip(t, "operator", "~")) parts.push(parseBinary(t, multiplicative, parsePower));
  return parts.length === 1 ? first : { kind: "concat", parts };
}

/** To the left, otherwise than in Python: 2 ** 3 ** 2 is 64. */
function parsePower(t: Tokens): Expression {
  return parseBinary(t, ["**"], (tokens) => parseUnary(tokens, true));
}

function parseUnary(t: Tokens, withFilters: boolean): Expression {
  const sign = isOperator(t, "-") ? "negative" : isOperator(t, "+") ? "positive" : undefined;
  if (sign) next(t);
  const plain: Expression = sign ? { kind: sign, of: parseUnary(t, false) } : parsePrimary(t);
  const whole = parsePostfix(t, plain);
  return withFilters ? parseFilters(t, whole) : whole;
}

const constants: { readonly [word: string]: boolean | null } = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

export function parsePrimary(t: Tokens): Expression {
  const token = next(t);
  const { value } = token;
  if (token.type === "name") {
    const constant = Object.hasOwn(constants, value) ? constants[value] : undefined;
    return constant === undefined ? { kind: "name", name: value } : { kind: "constant", value: constant };
  }
  if (token.type === "string") {
    let text = value;
    while (peek(t).type === "string") text += next(t).value;
    return { kind: "constant", value: text };
  }
  if (token.type === "integer") return { kind: "constant", value: BigInt(value) };
  if (token.type === "float") return { kind: "constant", value: Number(value) };
  if (token.type === "operator" && value === "(") {
    const inner = parseTuple(t, { empty: true });
    expect(t, "operator", ")");
    return inner;
  }
  if (token.type === "operator" && value === "[") {
    return { kind: "list", items: parseItems(t, "]", () => parseExpression(t)) };
  }
  if (token.type === "operator" && value === "{") {
    const entries = parseItems(t, "}", (): [Expression, Expression] => {
      const key = parseExpression(t);
      expect(t, "operator", ":");
      return [key, parseExpression(t)];
    });
    return { kind: "dict", entries };
  }
  t.at--;
  return fail(t, token.type === "eof" ? "unexpected end of template" : `unexpected '${value}'`);
}

/** Items up to a closing bracket; a comma may stand after the last. */
function parseItems<T>(t: Tokens, close: string, item: () => T): T[] {
  const items: T[] = [];
  while (!isOperator(t, close)) {
    if (items.length > 0) expect(t, "operator", ",");
    if (isOperator(t, close)) break;
    items.push(item());
  }
  expect(t, "operator", close);
  return items;
}

/** One expression, or a tuple of several with commas between. */
export function parseTuple(
  t: Tokens,
  options: { empty?: boolean; withChoice?: boolean; stop?: string } = {},
): Expression {
  const ends = (): boolean =>
    peek(t).type === "end" || isOperator(t, ")") || (options.stop !== undefined && isWord(t, options.stop));
  const items: Expression[] = [];
  let comma = false;
  while (!ends()) {
    items.push(parseExpression(t, options.withChoice ?? true));
    if (!skip(t, "operator", ",")) break;
    comma = true;
  }
  const [only] = items;
  if (!comma && only) return only;
  if (!only && !options.empty) fail(t, `Expected an expression, got '${peek(t).value}'`);
  return { kind: "tuple", items };
}

function parsePostfix(t: Tokens, of: Expression): Expression {
  let whole = of;
  while (true) {
    if (skip(t, "operator", ".")) whole = parseDot(t, whole);
    else if (skip(t, "operator", "[")) whole = parseBrackets(t, whole);
    else if (isOperator(t, "(")) whole = { kind: "call", of: whole, args: parseArguments(t) };
    else return whole;
  }
}

function parseDot(t: Tokens, of: Expression): Expression {
  const token = next(t);
  if (token.type === "name") return { kind: "attribute", of, name: token.value };
  if (token.type === "integer")
    return { kind: "item", of, key: { kind: "constant", value: BigInt(token.value) } };
  t.at--;
  return fail(t, "expected name or number");
}

function parseBrackets(t: Tokens, of: Expression): Expression {
  const bounds: (Expression | undefined)[] = [];
  let current: Expression | undefined;
  const keys: Expression[] = [];
  while (!isOperator(t, "]")) {
    if (skip(t, "operator", ":")) {
      bounds.push(current);
      current = undefined;
    } else if (current !== undefined && bounds.length === 0) {
      expect(t, "operator", ",");
      keys.push(current);
      current = parseExpression(t);
    } else if (current === undefined) current = parseExpression(t);
    else expect(t, "operator", "]");
  }
  expect(t, "operator", "]");
  if (bounds.length > 2 || (bounds.length > 0 && keys.length > 0)) fail(t, "a slice is [start:stop:step]");
  if (bounds.length > 0) return { kind: "slice", of, bounds: [...bounds, current] };
  if (current === undefined) fail(t, "Expected an expression, got ']'");
  return { kind: "item", of, key: keys.length > 0 ? { kind: "tuple", items: [...keys, current] } : current };
}

/** Filters and tests may follow each other, and be called. */
function parseFilters(t: Tokens, of: Expression): Expression {
  let whole = of;
  while (true) {
    if (isOperator(t, "|")) whole = parseFilter(t, whole);
    else if (isWord(t, "is")) whole = parseTest(t, whole);
    else if (isOperator(t, "(")) whole = { kind: "call", of: whole, args: parseArguments(t) };
    else return whole;
  }
}

/** `|name(args)`, and further ones; the first bar may be left out at the head of a block. */
export function parseFilter(t: Tokens, of: Expression | undefined, bar = true): FilterExpression {
  if (bar) expect(t, "operator", "|");
  let filter: FilterExpression = { kind: "filter", of, ...parseCallable(t) };
  while (skip(t, "operator", "|")) filter = { kind: "filter", of: filter, ...parseCallable(t) };
  return filter;
}

function parseDotted(t: Tokens): string {
  let name = expect(t, "name").value;
  while (skip(t, "operator", ".")) name += `.${expect(t, "name").value}`;
  return name;
}

function parseCallable(t: Tokens): { name: string; args: CallArguments } {
  const name = parseDotted(t);
  return { name, args: isOperator(t, "(") ? parseArguments(t) : { positional: [], named: [] } };
}

function parseTest(t: Tokens, of: Expression): Expression {
  expect(t, "name", "is");
  const negated = skip(t, "name", "not");
  const name = parseDotted(t);
  let args: CallArguments = { positional: [], named: [] };
  if (isOperator(t, "(")) args = parseArguments(t);
  else if (startsArgument(t)) {
    if (isWord(t, "is")) fail(t, "You cannot chain multiple tests with is");
    args = { positional: [parsePostfix(t, parsePrimary(t))], named: [] };
  }
  const test: Expression = { kind: "test", of, name, args };
  return negated ? { kind: "not", of: test } : test;
}

function startsArgument(t: Tokens): boolean {
  const { type, value } = peek(t);
  if (type === "name") return !["else", "or", "and"].includes(value);
  return ["string", "integer", "float"].includes(type) || (type === "operator" && "[{".includes(value));
}

function parseArguments(t: Tokens): CallArguments {
  expect(t, "operator", "(");
  const positional: Expression[] = [];
  const named: [string, Expression][] = [];
  const spread: { list?: Expression; dict?: Expression } = {};
  const check = (right: boolean): void => {
    if (!right) fail(t, "invalid syntax for function call expression");
  };
  parseItems(t, ")", () => {
    if (skip(t, "operator", "*")) {
      check(!spread.list && !spread.dict);
      spread.list = parseExpression(t);
    } else if (skip(t, "operator", "**")) {
      check(!spread.dict);
      spread.dict = parseExpression(t);
    } else if (peek(t).type === "name" && isOperator(t, "=", 1)) {
      check(!spread.dict);
      const name = next(t).value;
      next(t);
      named.push([name, parseExpression(t)]);
    } else {
      check(!spread.list && !spread.dict && named.length === 0);
      positional.push(parseExpression(t));
    }
  });
  return { positional, named, ...spread };
}
