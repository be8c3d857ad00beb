import type { Body, FilterExpression, MacroDefinition, Parameter, Statement, Target } from "./ast.js";
import type { Tokens } from "./expressions.js";
import {
  expect,
  fail,
  isOperator,
  isWord,
  next,
  parseExpression,
  parseFilter,
  parseTuple,
  peek,
  skip,
} from "./expressions.js";
import { tokenize } from "./lexer.js";

/** Parses a template. Throws a fault of kind "syntax" with its line. Reference: jinja2/parser.py */
export function parseTemplate(source: string): Body {
  const t: Tokens = { all: tokenize(source), at: 0 };
  const body = parseBody(t, []);
  if (peek(t).type !== "eof") fail(t, `Encountered unknown tag '${peek(t).value}'`);
  return body;
}

/** Statements up to a tag of one of these names, which is next then, without its begin. */
function parseBody(t: Tokens, ends: readonly string[]): Body {
  const body: Statement[] = [];
  while (peek(t).type !== "eof") {
    const token = next(t);
    if (token.type === "text") body.push({ kind: "text", text: token.value, line: token.line });
    else if (token.value === "{{") {
      const value = parseTuple(t);
      expect(t, "end", "}}");
      body.push({ kind: "print", values: [value], line: token.line });
    } else {
      if (ends.some((name) => isWord(t, name))) return body;
      body.push(parseStatement(t));
      expect(t, "end", "%}");
    }
  }
  if (ends.length > 0)
    fail(t, `Unexpected end of template. Jinja was looking for the tags ${ends.join(" or ")}`);
  return body;
}

/** The body of a block whose tag has been read, and the end of that tag; the end tag's name is taken. */
function parseBlock(t: Tokens, ...ends: string[]): Body {
  skip(t, "operator", ":");
  expect(t, "end", "%}");
  const body = parseBody(t, ends);
  if (ends.length === 1) next(t);
  return body;
}

function parseStatement(t: Tokens): Statement {
  const { line } = peek(t);
  const tag = expect(t, "name").value;
  const parse = Object.hasOwn(statements, tag) ? statements[tag] : undefined;
  if (!parse) {
    t.at--;
    fail(t, `Encountered unknown tag '${tag}'`);
  }
  return { ...parse(t), line };
}

/** A statement without its line. */
type Parsed = Statement extends infer S ? (S extends Statement ? Omit<S, "line"> : never) : never;

const statements: { readonly [tag: string]: (t: Tokens) => Parsed } = {
  if: parseIf,
  for: parseFor,
  set: parseSet,
  macro: (t) => {
    const { value: name } = expect(t, "name");
    const parameters = parseParameters(t);
    return { kind: "macro", name, ...parseMacro(t, parameters, "endmacro") };
  },
  call: (t) => {
    const parameters = isOperator(t, "(") ? parseParameters(t) : [];
    const call = parseExpression(t);
    if (call.kind !== "call") fail(t, "expected call");
    return { kind: "call-block", call, ...parseMacro(t, parameters, "endcall") };
  },
  filter: (t) => {
    const filter = parseFilter(t, undefined, false);
    return { kind: "filter-block", filter, body: parseBlock(t, "endfilter") };
  },
  with: parseWith,
  print: (t) => {
    const values = [parseExpression(t)];
    while (skip(t, "operator", ",")) values.push(parseExpression(t));
    return { kind: "print", values };
  },
  block: (t) => {
    const { value: name } = expect(t, "name");
    skip(t, "name", "scoped");
    const body = parseBlock(t, "endblock");
    skip(t, "name", name);
    return { kind: "block", body };
  },
  autoescape: (t) => {
    parseExpression(t);
    return { kind: "scope", body: parseBlock(t, "endautoescape") };
  },
  generation: (t) => ({ kind: "generation", body: parseBlock(t, "endgeneration") }),
  break: () => ({ kind: "break" }),
  continue: () => ({ kind: "continue" }),
  include: (t) => otherTemplate(t, "include"),
  import: (t) => otherTemplate(t, "import"),
  from: (t) => otherTemplate(t, "from"),
  extends: (t) => otherTemplate(t, "extends"),
};

/** A chat template stands alone: what names another one fails when it is reached, as in Python. */
function otherTemplate(t: Tokens, tag: string): Parsed {
  while (peek(t).type !== "end" && peek(t).type !== "eof") next(t);
  return { kind: "other-template", tag };
}

function parseIf(t: Tokens): Parsed {
  const branches = [];
  while (true) {
    const test = parseTuple(t, { withChoice: false });
    branches.push({ test, body: parseBlock(t, "elif", "else", "endif") });
    const tag = next(t).value;
    if (tag === "endif") return { kind: "if", branches, otherwise: [] };
    if (tag === "else") return { kind: "if", branches, otherwise: parseBlock(t, "endif") };
  }
}

function parseFor(t: Tokens): Parsed {
  const target = parseTarget(t, "in");
  expect(t, "name", "in");
  const over = parseTuple(t, { withChoice: false, stop: "recursive" });
  const test = skip(t, "name", "if") ? parseExpression(t) : undefined;
  const recursive = skip(t, "name", "recursive");
  const body = parseBlock(t, "endfor", "else");
  const otherwise = next(t).value === "else" ? parseBlock(t, "endfor") : [];
  return { kind: "for", target, over, test, recursive, body, otherwise };
}

function parseSet(t: Tokens): Parsed {
  const target = parseTarget(t, undefined, true);
  if (skip(t, "operator", "=")) return { kind: "set", target, value: parseTuple(t) };
  const filter: FilterExpression | undefined = isOperator(t, "|") ? parseFilter(t, undefined) : undefined;
  return { kind: "set-block", target, filter, body: parseBlock(t, "endset") };
}

function parseWith(t: Tokens): Parsed {
  const bindings = [];
  while (peek(t).type !== "end") {
    if (bindings.length > 0) expect(t, "operator", ",");
    const target = parseTarget(t, "=");
    expect(t, "operator", "=");
    bindings.push({ target, value: parseExpression(t) });
  }
  return { kind: "with", bindings, body: parseBlock(t, "endwith") };
}

function parseMacro(t: Tokens, parameters: readonly Parameter[], end: string): MacroDefinition {
  const from = t.at;
  const body = parseBlock(t, end);
  const words = t.all.slice(from, t.at).filter((token) => token.type === "name");
  const uses = ["varargs", "kwargs", "caller"].filter((word) => words.some(({ value }) => value === word));
  return { parameters, body, uses };
}

function parseParameters(t: Tokens): MacroDefinition["parameters"] {
  const parameters: Parameter[] = [];
  expect(t, "operator", "(");
  while (!skip(t, "operator", ")")) {
    if (parameters.length > 0) expect(t, "operator", ",");
    const { value: name } = expect(t, "name");
    const otherwise = skip(t, "operator", "=") ? parseExpression(t) : undefined;
    if (!otherwise && parameters.at(-1)?.otherwise) fail(t, "non-default argument follows default argument");
    parameters.push({ name, otherwise });
  }
  return parameters;
}

/** Names, in tuples perhaps. */
function parseTarget(t: Tokens, stop?: string, withNamespace = false): Target {
  const items: Target[] = [];
  let comma = false;
  const ends = (): boolean =>
    peek(t).type === "end" || isOperator(t, ")") || (stop !== undefined && peek(t).value === stop);
  while (!ends()) {
    items.push(parseOneTarget(t, withNamespace));
    if (!skip(t, "operator", ",")) break;
    comma = true;
  }
  const [only] = items;
  if (!only) fail(t, "expected a name to assign to");
  return comma ? { kind: "tuple", items } : only;
}

function parseOneTarget(t: Tokens, withNamespace: boolean): Target {
  const bracket = ["(", "["].find((open) => skip(t, "operator", open));
  if (bracket) {
    const inner = parseTarget(t, bracket === "[" ? "]" : undefined, withNamespace);
    expect(t, "operator", bracket === "[" ? "]" : ")");
    return inner;
  }
  const { value: name } = expect(t, "name");
  if (["true", "True", "false", "False", "none", "None"].includes(name)) fail(t, `can't assign to '${name}'`);
  if (withNamespace && skip(t, "operator", ".")) {
    return { kind: "namespace", name, attribute: expect(t, "name").value };
  }
  return { kind: "name", name };
}
