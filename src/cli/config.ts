import { PeftError } from "../index.js";
import { meantOption, optionKey } from "../options.js";
import { namesOf, type Option } from "./options.js";
import { otherWay } from "./other_names.js";
import type { Terminal } from "./terminal.js";

/**
 * Reads a JSON or YAML file of options, named as in the API or in Python. Throws "option": unreadable, no
 * object, unknown keys.
 */
export async function readConfigFile(
  path: string,
  options: readonly Option[],
  { readFile }: Terminal,
): Promise<Map<string, unknown>> {
  const value = await parse(await readFile(path), path);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new PeftError("option", {
      what: `"${path}" is ${JSON.stringify(value)}.`,
      why: "a config file holds options by name.",
      fix: "write one a line, as in `lr: 0.001`.",
    });
  const names = namesOf(options);
  // The schema that `peft schema` wrote, which an editor finds by this key.
  const entries = Object.entries(value).filter(([name]) => name !== "$schema");
  checkKeys(
    entries.map(([name]) => name),
    names,
    path,
  );
  const given = new Map<string, unknown>();
  for (const [name, x] of entries) {
    const key = optionKey(name, names) ?? name;
    if (given.has(key)) throw givenTwice(path, key, name);
    if (x !== null && x !== undefined) given.set(key, x);
  }
  return given;
}

/**
 * YAML is a superset of JSON, and its parser says where a fault stands. Aliases stand for themselves, as
 * often as a file needs them.
 */
async function parse(text: string, path: string): Promise<unknown> {
  const { parseDocument } = await import("yaml"); // a start without a file stays quick
  const document = parseDocument(text, { prettyErrors: true, logLevel: "error" });
  const [error] = document.errors;
  if (error !== undefined) throw unreadable(path, error);
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    if (!endsSomewhere(value, new Set())) throw new Error("an alias stands for something that holds it");
    return value;
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** Whether a value ends: an alias may name the list that it stands in. */
function endsSomewhere(value: unknown, above: Set<unknown>): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (above.has(value)) return false;
  above.add(value);
  const ends = Object.values(value).every((item) => endsSomewhere(item, above));
  above.delete(value);
  return ends;
}

function unreadable(path: string, cause: unknown): PeftError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new PeftError("option", {
    what: `"${path}" cannot be read as ${/\.json$/i.test(path) ? "JSON" : "YAML"}.`,
    why: `${message.split("\n")[0]!.replace(/:$/, "")}.`,
    fix: /alias/i.test(message) ? "write out what its aliases (*NAME) stand for." : "correct that line.",
    cause,
  });
}

function checkKeys(keys: readonly string[], names: ReturnType<typeof namesOf>, path: string): void {
  const unknown = keys.filter((key) => optionKey(key, names) === undefined);
  const other = unknown.map((key) => otherWay(`"${path}"`, key)).find((error) => error !== undefined);
  if (other !== undefined) throw other;
  if (unknown.length === 0) return;
  const hints = unknown.flatMap((key) => {
    const meant = meantOption(key, names);
    return meant === undefined ? [] : [`write "${meant}" in place of "${key}"`];
  });
  throw new PeftError("option", {
    what: `"${path}" has unknown ${unknown.length > 1 ? "keys" : "key"} ${unknown.map((key) => `"${key}"`).join(", ")}.`,
    why: `the options are ${Object.keys(names).join(", ")}.`,
    fix: hints.length > 0 ? `${hints.join(", ")}.` : "use one of them.",
  });
}

function givenTwice(path: string, key: string, name: string): PeftError {
  return new PeftError("option", {
    what: `"${path}" has ${key} twice, once as "${name}".`,
    why: "it is one option.",
    fix: "leave one of them out.",
  });
}
