import { PeftError } from "../errors.js";
import { isRecord } from "../narrow.js";
import { boundPattern } from "../pattern.js";
import type { RewardFunction } from "./rewards.js";

/** 1 for an answer that matches a regular expression, else 0. Matching ends, whatever the expression is. */
export function formatReward(pattern: RegExp): RewardFunction {
  const bounded = boundPattern(pattern, "formatReward", "option");
  return named("format", (answer) => Number(bounded.test(answer)));
}

/** A JSON schema, of which the keywords named here are looked at. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
}

/** 1 for an answer that is JSON of a schema, 0.5 for other JSON, 0 for what is none. */
export function jsonReward(schema: JsonSchema = {}): RewardFunction {
  return named("json", (answer) => {
    let value: unknown;
    try {
      value = JSON.parse(answer);
    } catch {
      return 0;
    }
    return fits(value, schema) ? 1 : 0.5;
  });
}

/** 0 at a length in tokens, less by 1 / scale for each token that an answer is off. */
export function lengthReward({ target, scale = target }: { target: number; scale?: number }): RewardFunction {
  const reward: RewardFunction = (_prompts, _answers, { ids }) =>
    ids.map(({ length }) => -Math.abs(length - target) / scale);
  return Object.defineProperty(reward, "name", { value: "length" });
}

/** 1 for an answer that is, but for spaces around it, the text of its row's column; null without one. */
export function exactReward(column = "answer"): RewardFunction {
  return byColumn("exact", column, (answer, wanted) => Number(answer.trim() === String(wanted).trim()));
}

/** 1 where the last number of an answer is the one of its row's column, else 0; null without one. */
export function numericReward(column = "answer", tolerance = 1e-6): RewardFunction {
  return byColumn("numeric", column, (answer, wanted) => {
    const numbers = answer.match(/[-+]?\d[\d,]{0,40}(?:\.\d{1,40})?/g) ?? [];
    const said = Number((numbers.at(-1) ?? "x").replaceAll(",", ""));
    return Number(Math.abs(said - Number(wanted)) <= tolerance * Math.max(1, Math.abs(Number(wanted))));
  });
}

function named(name: string, judge: (answer: string) => number): RewardFunction {
  const reward: RewardFunction = (_prompts, answers) => answers.map(judge);
  return Object.defineProperty(reward, "name", { value: name });
}

function byColumn(
  name: string,
  column: string,
  judge: (answer: string, wanted: unknown) => number,
): RewardFunction {
  const reward: RewardFunction = (_prompts, answers, { columns }) => {
    const wanted = columns[column];
    if (wanted === undefined)
      throw new PeftError("option", {
        what: `The reward "${name}" reads the column "${column}", which no prompt has.`,
        why: `they have ${Object.keys(columns).join(", ") || "none"} beside the prompt.`,
        fix: `add it to the rows: { prompt: "2 + 3 =", ${column}: 5 }.`,
      });
    return answers.map((answer, i) => {
      const own = wanted[i];
      return own === undefined || own === null ? null : judge(answer, own);
    });
  };
  return Object.defineProperty(reward, "name", { value: name });
}

/** Whether a value is of a schema. */
function fits(value: unknown, s: JsonSchema): boolean {
  if (s.type !== undefined && ![s.type].flat().some((type) => isOfType(value, type))) return false;
  if (s.enum !== undefined && !s.enum.some((one) => isSame(one, value))) return false;
  if (s.const !== undefined && !isSame(s.const, value)) return false;
  if (typeof value === "number") return within(value, s.minimum, s.maximum);
  if (typeof value === "string") return within([...value].length, s.minLength, s.maxLength);
  const { items } = s;
  if (Array.isArray(value))
    return (
      within(value.length, s.minItems, s.maxItems) &&
      (items === undefined || value.every((item) => fits(item, items)))
    );
  return !isRecord(value) || fitsObject(value, s);
}

function fitsObject(value: Readonly<Record<string, unknown>>, s: JsonSchema): boolean {
  const { properties = {}, required = [], additionalProperties = true } = s;
  if (required.some((name) => !Object.hasOwn(value, name))) return false;
  return Object.entries(value).every(([name, own]) => {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
    return schema === undefined ? additionalProperties : fits(own, schema);
  });
}

const within = (x: number, least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): boolean =>
  x >= least && x <= most;

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

function isOfType(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isRecord(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}
