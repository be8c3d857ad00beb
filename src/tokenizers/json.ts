import { PeftError } from "../errors.js";

/** An object read from a JSON file: nothing is known about its values. */
export type Json = { readonly [key: string]: unknown };

/** Parses a JSON object. Throws `tokenizer` naming the file. */
export function parseJson(text: string, name: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PeftError("tokenizer", {
      what: `${name} is not valid JSON: ${(cause as Error).message}.`,
      why: "the tokenizer is described by this file.",
      fix: "download the file again, or save the tokenizer again with tokenizer.save_pretrained(folder).",
      cause,
    });
  }
  if (!isObject(value)) fault(name, "must hold a JSON object");
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

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function asObject(value: unknown, part: string): Json {
  return isObject(value) ? value : fault(part, "must be an object");
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

export function stringOr<T>(value: unknown, otherwise: T): string | T {
  return typeof value === "string" ? value : otherwise;
}

export function booleanOr<T>(value: unknown, otherwise: T): boolean | T {
  return typeof value === "boolean" ? value : otherwise;
}

export function numberOr<T>(value: unknown, otherwise: T): number | T {
  return typeof value === "number" ? value : otherwise;
}
