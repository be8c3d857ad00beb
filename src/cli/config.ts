import { nearest, PeftError } from "../index.js";
import type { Option } from "./options.js";
import type { Terminal } from "./terminal.js";

/** Reads a JSON or YAML file of options, named as in the API. Throws "option": unreadable, no object, unknown keys. */
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
  const given = new Map(Object.entries(value).filter(([, x]) => x !== null && x !== undefined));
  checkKeys([...Object.keys(value)], options, path);
  return given;
}

/** YAML is a superset of JSON, and its parser says where a fault stands. */
async function parse(text: string, path: string): Promise<unknown> {
  const { parseDocument } = await import("yaml"); // a start without a file stays quick
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error === undefined) return document.toJS();
  throw new PeftError("option", {
    what: `"${path}" cannot be read as ${/\.json$/i.test(path) ? "JSON" : "YAML"}.`,
    why: `${error.message.split("\n")[0]!.replace(/:$/, "")}.`,
    fix: "correct that line.",
    cause: error,
  });
}

function checkKeys(keys: readonly string[], options: readonly Option[], path: string): void {
  const known = options.map((option) => option.key);
  const unknown = keys.filter((key) => !known.includes(key));
  if (unknown.length === 0) return;
  const hints = unknown.flatMap((key) => {
    const close = nearest(camel(key), known);
    return close === undefined ? [] : [`write "${close}" in place of "${key}"`];
  });
  throw new PeftError("option", {
    what: `"${path}" has unknown ${unknown.length > 1 ? "keys" : "key"} ${unknown.map((key) => `"${key}"`).join(", ")}.`,
    why: `the options are ${known.join(", ")}.`,
    fix: hints.length > 0 ? `${hints.join(", ")}.` : "use one of them.",
  });
}

function camel(name: string): string {
  return name.replace(/[_-]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
