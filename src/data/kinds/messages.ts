import { isObject, isScalar, parseJson, print, show, toJson } from "../tables/values.js";
import type { Message } from "../types.js";
import { refuseEntry } from "./kind.js";

/** A message, and whether it is learnt. */
export interface Turn {
  readonly message: Message;
  readonly learn: boolean;
}

/** Other data sets' names of the roles that chat templates know. */
const roles: Readonly<Record<string, string>> = {
  human: "user",
  prompter: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  bot: "assistant",
  model: "assistant",
  ai: "assistant",
  developer: "system",
  observation: "tool",
  function: "tool",
  function_response: "tool",
  tool_response: "tool",
  function_call: "assistant",
  tool_call: "assistant",
};

const callRoles = ["function_call", "tool_call"];

/** Roles that every chat template is asked to write. Others are for templates that name them. */
export const knownRoles: readonly string[] = ["system", "user", "assistant", "tool"];

/**
 * `[{ role, content }]`, or ShareGPT's `[{ from, value }]`, as a list or as its JSON. Throws what becomes a
 * fault.
 */
export function readTurns(value: unknown, name: string): Turn[] {
  const list = fromJson(value);
  if (!Array.isArray(list) || list.length === 0)
    return refuseEntry(`${name} is ${show(value)}, not a list of messages`);
  return list.map((item, i) => readTurn(item, `message ${i + 1}`));
}

function readTurn(item: unknown, where: string): Turn {
  const fields = isObject(item) ? item : {};
  const named = fields["role"] ?? fields["from"];
  const said = fields["content"] ?? fields["value"];
  const calls = [...readCalls(fields["tool_calls"], where), ...readCalls(fields["function_call"], where)];
  if (typeof named !== "string" || (said === undefined && calls.length === 0))
    return refuseEntry(`${where} is ${show(item)}, without a role and content`);
  const form = named.trim().toLowerCase();
  const role = roles[form] ?? (knownRoles.includes(form) ? form : named);
  const inContent = callRoles.includes(form) ? callsOf(said) : undefined;
  const all = [...calls, ...(inContent ?? [])];
  return {
    learn: readLearn(fields, role, where),
    message: {
      ...otherFields(fields),
      role,
      content: inContent === undefined ? readContent(said, role, where) : "",
      ...(all.length === 0 ? {} : { tool_calls: all }),
    },
  };
}

/** What templates may read besides: name, tool_call_id, reasoning_content. */
function otherFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const read = ["tool_calls", "function_call", ...weights];
  const isShareGpt = fields["role"] === undefined || fields["role"] === null;
  const own = isShareGpt ? ["from", "role", "value", "content"] : ["role", "content"];
  const isOther = ([name, value]: [string, unknown]): boolean =>
    value !== null && value !== undefined && !read.includes(name) && !own.includes(name);
  return Object.fromEntries(Object.entries(fields).filter(isOther));
}

/** Text, or a list of parts that are text. A tool may answer with any JSON. */
function readContent(value: unknown, role: string, where: string): string {
  if (value === undefined || value === null) return "";
  const isParts = Array.isArray(value) && (role !== "tool" || value.every(isTextPart));
  if (isParts) return value.map((part) => readPart(part, where)).join("");
  if (isScalar(value) || role === "tool") return print(value);
  return refuseEntry(`the content of ${where} is ${show(value)}, not text`);
}

function isTextPart(part: unknown): boolean {
  return typeof part === "string" || (isObject(part) && /^(input_|output_)?text$/.test(String(part["type"])));
}

function readPart(part: unknown, where: string): string {
  if (typeof part === "string") return part;
  const text = isObject(part) ? part["text"] : undefined;
  if (isTextPart(part) && typeof text === "string") return text;
  const type = isObject(part) ? part["type"] : undefined;
  const form = type === undefined ? show(part) : `of type ${show(type)}`;
  return refuseEntry(`${where} has a part ${form}: only text can be learnt`);
}

const weights: readonly string[] = ["weight", "train", "training"];

/**
 * OpenAI's `weight` (0 or 1) of the assistant's turns, Axolotl's `train` of any; else what the assistant says
 * is learnt.
 */
function readLearn(fields: Readonly<Record<string, unknown>>, role: string, where: string): boolean {
  const given = weights.filter((name) => fields[name] !== undefined && fields[name] !== null);
  const flags = given.map((name) => {
    const value = fields[name];
    const flag =
      typeof value === "boolean" ? Number(value) : typeof value === "string" ? Number.NaN : Number(value);
    if (flag === 0 || flag === 1) return { name, isOn: flag === 1 };
    return refuseEntry(
      `${where} has ${name} ${show(value)}: a turn is learnt (1, true) or is not (0, false)`,
    );
  });
  if (role === "assistant") return flags.every(({ isOn }) => isOn);
  return flags.some(({ name, isOn }) => isOn && name !== "weight") && flags.every(({ isOn }) => isOn);
}

/**
 * OpenAI's calls `{ function: { name, arguments } }`, or `{ name, arguments }`; arguments as JSON text or as
 * what it says.
 */
function readCalls(value: unknown, where: string): unknown[] {
  if (value === undefined || value === null) return [];
  return callsOf(value) ?? refuseEntry(`${where} has the calls ${show(value)}, without a name`);
}

function callsOf(value: unknown): unknown[] | undefined {
  const list = [fromJson(value)].flat();
  const calls = list.map((item) => {
    const call = isObject(item) ? item : {};
    const inner = isObject(call["function"]) ? call["function"] : call;
    if (typeof inner["name"] !== "string") return undefined;
    const given = inner["arguments"] ?? inner["parameters"] ?? {};
    const asked = { ...inner, arguments: isObject(fromJson(given)) ? fromJson(given) : given };
    return inner === call
      ? { type: "function", function: asked }
      : { type: "function", ...call, function: asked };
  });
  return calls.every((call) => call !== undefined) ? calls : undefined;
}

/**
 * A call as text, for templates that write no calls: `{"name": "weather", "arguments": {"city": "Rome"}}`.
 */
export function callText(call: unknown): string {
  const inner = isObject(call) && isObject(call["function"]) ? call["function"] : {};
  return toJson({ name: inner["name"], arguments: inner["arguments"] });
}

/** The functions that may be called: a list or its JSON, with OpenAI's wrapping or without. */
export function readTools(value: unknown): readonly unknown[] | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const list = [fromJson(value)].flat();
  if (list.length === 0) return undefined;
  return list.map((tool) => {
    if (!isObject(tool)) return refuseEntry(`tools is ${show(value)}, not a list of functions`);
    return isObject(tool["function"]) || tool["type"] !== undefined
      ? tool
      : { type: "function", function: tool };
  });
}

/**
 * Text of JSON as what it says, where it is some: CSV has no lists, and many data sets keep theirs as text.
 */
export function fromJson(value: unknown): unknown {
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return value;
  try {
    return parseJson(value, "it");
  } catch {
    return value;
  }
}
