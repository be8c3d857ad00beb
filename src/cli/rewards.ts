import {
  exactReward,
  formatReward,
  type JsonSchema,
  jsonReward,
  lengthReward,
  numericReward,
  PeftError,
  type RewardFunction,
} from "../index.js";
import { isRecord, messageOf } from "../narrow.js";
import type { Option, Settings } from "./options.js";
import type { Terminal } from "./terminal.js";

export const rewardOption: Option = {
  key: "reward",
  kind: "text",
  value: "REWARD",
  many: true,
  help: "a file whose exports judge answers (rewards.ts), or format:REGEX, json, json:SCHEMA.json, length:TOKENS, exact:COLUMN, numeric:COLUMN; may be given more than once",
};

/** What judges answers, and the files that say so. */
export interface ReadRewards {
  readonly rewards: readonly RewardFunction[];
  readonly files: readonly string[];
}

/** Reads what --reward names. Throws "option". */
export async function readRewards(settings: Settings, terminal: Terminal): Promise<ReadRewards> {
  const read = await Promise.all(settings.list("reward").map((text) => readReward(text, terminal)));
  return { rewards: read.flatMap(({ rewards }) => rewards), files: read.flatMap(({ files }) => files) };
}

async function readReward(text: string, terminal: Terminal): Promise<ReadRewards> {
  const [, name, said] = /^(format|json|length|exact|numeric)(?::(.+))?$/s.exec(text) ?? [];
  if (name === "json" && said !== undefined)
    return { rewards: [jsonReward(await schemaOf(said, terminal))], files: [said] };
  if (name !== undefined) return { rewards: [builtIn(name, said, text)], files: [] };
  if (/\.[cm]?[jt]s$/.test(text))
    return { rewards: functionsOf(await terminal.importFile(text), text), files: [text] };
  throw refused(text, "it is no file of JavaScript or TypeScript, and no reward that comes along.");
}

function builtIn(name: string, said: string | undefined, text: string): RewardFunction {
  if (name === "exact") return exactReward(said);
  if (name === "numeric") return numericReward(said);
  if (name === "json") return jsonReward();
  if (said === undefined) throw refused(text, "it does not say which one.");
  if (name === "format") return formatReward(regexOf(said, text));
  const target = Number(said);
  if (Number.isInteger(target) && target > 0) return lengthReward({ target });
  throw refused(text, "a length is a whole number of tokens, above 0.");
}

function regexOf(said: string, text: string): RegExp {
  try {
    return new RegExp(said, "su");
  } catch (cause) {
    throw refused(text, `${messageOf(cause)}.`);
  }
}

async function schemaOf(path: string, terminal: Terminal): Promise<JsonSchema> {
  const text = await terminal.readFile(path);
  try {
    const schema: unknown = JSON.parse(text);
    if (isRecord(schema)) return schema;
  } catch {
    // said below
  }
  throw refused(`json:${path}`, `"${path}" is no JSON object.`);
}

/** The default export, a function or several in a list; without one, all functions that a file exports. */
function functionsOf(exported: Readonly<Record<string, unknown>>, path: string): RewardFunction[] {
  const { default: main, ...named } = exported;
  if (isRecord(main)) return functionsOf(main, path); // what a file of CommonJS exports
  const found = main === undefined ? Object.values(named) : [main].flat();
  const functions = found.filter(isReward);
  if (functions.length > 0 && (main === undefined || functions.length === found.length))
    return functions.map((one) => (["default", ""].includes(one.name) ? called(one, path) : one));
  throw refused(
    path,
    main === undefined
      ? `it exports ${Object.keys(named).join(", ") || "nothing"}, and no function.`
      : `its default export is ${Array.isArray(main) ? "a list with something else than functions" : typeof main}.`,
    "write in it: export default (prompts, answers) => answers.map((text) => text.length).",
  );
}

const isReward = (value: unknown): value is RewardFunction => typeof value === "function";

/** A function without a name has that of its file. */
function called(reward: RewardFunction, path: string): RewardFunction {
  const own: RewardFunction = (...judged) => reward(...judged);
  return Object.defineProperty(own, "name", { value: path.replace(/^.*[\\/]|\.\w+$/g, "") });
}

function refused(text: string, why: string, fix?: string): PeftError {
  return new PeftError("option", {
    what: `--reward is "${text}".`,
    why,
    fix: fix ?? "name a file (rewards.ts), or format:REGEX, json:SCHEMA.json, length:40, exact, numeric.",
  });
}
