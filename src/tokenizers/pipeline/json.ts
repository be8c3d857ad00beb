import { PeftError } from "../../errors.js";
import { isRecord, messageOf } from "../../narrow.js";

/** An object read from a JSON file: nothing is known about its values. */
export type Json = { readonly [key: string]: unknown };

/** Parses a JSON object. Throws `tokenizer` naming the file. */
export function parseJson(text: string, name: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PeftError("tokenizer", {
      what: `${name} is not valid JSON: ${messageOf(cause)}.`,
      why: "the tokenizer is described by this file.",
      fix: "download the file again, or save the tokenizer again with tokenizer.save_pretrained(folder).",
      cause,
    });
  }
  if (!isRecord(value)) fault(name, "must hold a JSON object");
  return value;
}

/** A fault in a tokenizer's files: which part, and what is wrong with it. */
export function fault(part: string, wrong: string): never {
  throw new PeftError("tokenizer", {
    what: `${part} ${wrong}.`,
    why: "the tokenizer cannot be built from it.",
    fix: "save the tokenizer again with Python: AutoTokenizer.from_pretrained(name).save_pretrained(folder).",
  });
}

/** A value of the user's in an error, not all of it where it is long. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

export function asObject(value: unknown, part: string): Json {
  return isRecord(value) ? value : fault(part, "must be an object");
}

export function asArray(value: unknown, part: string): readonly unknown[] {
  return Array.isArray(value) ? value : fault(part, "must be a list");
}

export function asString(value: unknown, part: string): string {
  return typeof value === "string" ? value : fault(part, "must be a string");
}

export function asNumber(value: unknown, part: string): number {
  return typeof value === "number" ? value : fault(part, "must be a number");
}

/** The most levels of nesting in a part of tokenizer.json; Sequences nest two or three deep. */
const MOST_LEVELS = 100;

/**
 * Reads a part of tokenizer.json by its type, undefined where the file has none. Throws `tokenizer` for an
 * unknown type.
 * @param where the file and field, for errors
 */
export function readPart<T>(value: unknown, where: string, table: PartTable<T>): T | undefined {
  if (value === null || value === undefined) return undefined;
  const config = asObject(value, where);
  const type = asString(config["type"], `${where}.type`);
  const known = Object.keys(table).join(", ");
  if (where.split(".").length > MOST_LEVELS) fault(where.slice(0, 80), "is nested too deeply");
  if (!Object.hasOwn(table, type)) fault(`${where} ${shown(type)}`, `is unknown (known: ${known})`);
  return table[type]?.(config, where);
}

/** How to make each type of a part, from its object and the place that it stands at. */
export type PartTable<T> = { readonly [type: string]: (config: Json, where: string) => T };

/** Reads a list of parts, as each kind of Sequence has one. */
export function readParts<T>(
  config: Json,
  key: string,
  where: string,
  read: (value: unknown, where: string) => T,
): T[] {
  return asArray(config[key], `${where}.${key}`).map((value, i) => read(value, `${where}.${key}[${i}]`));
}

/** A token's id, a whole number as Rust's u32 holds it. */
export function asId(value: unknown, part: string): number {
  const id = asNumber(value, part);
  return Number.isInteger(id) && id >= 0 && id < 2 ** 32 ? id : fault(part, `cannot be ${id}`);
}

export function stringOr<T>(value: unknown, otherwise: T): string | T {
  return typeof value === "string" ? value : otherwise;
}

export function booleanOr<T>(value: unknown, otherwise: T): boolean | T {
  return typeof value === "boolean" ? value : otherwise;
}

export function numberOr<T>(value: unknown, otherwise: T): number | T {
  return typeof value === "number" ? value : otherwise;
}
