import { PeftError } from "../index.js";
import { isOneOf } from "../narrow.js";
import { faultOf as rowFault, readText as rowValue } from "../options.js";
import { FlagText, flagOf, type Option, type OptionKind } from "./options.js";

/** Reads the text of a flag. What cannot be read is passed on as it is, for the check to name. */
const readText: { readonly [K in OptionKind]: (text: string) => unknown } = {
  text: (text) => text,
  number: asNumber,
  whole: asNumber,
  flag: (text) => (text === "true" ? true : text === "false" ? false : text),
  names: words,
  targets: (text) => (text === "all-linear" || /[\\^$*+?()[\]{}|]/.test(text) ? text : words(text)),
  numberOrNumbers: (text) => (text.includes(",") ? words(text).map(asNumber) : asNumber(text)),
  numbers: (text) => (/^\s*[[{]/.test(text) ? asJson(text) : words(text).map(asNumber)),
  map: (text) => (/^\s*\{/.test(text) ? asJson(text) : asMap(text)),
  json: asJson,
  value: asJson,
  byMethod: (text) => new FlagText(text),
};

/** Reads the text of an option's flag. Names to choose from may be written in either case: --task ctc. */
export function textValue({ kind, row, choices }: Option, text: string): unknown {
  if (row !== undefined) return rowValue(row, text);
  const value = readText[kind](text);
  if (choices === undefined || typeof value !== "string" || choices.includes(value)) return value;
  return choices.find((choice) => choice.toLowerCase() === value.toLowerCase()) ?? value;
}

/** What a value of a kind is, in words; undefined: anything, checked where it is used. */
const wanted: { readonly [K in OptionKind]?: readonly [words: string, is: (x: unknown) => boolean] } = {
  text: ["a text", (x) => typeof x === "string"],
  number: ["a number", (x) => typeof x === "number" && Number.isFinite(x)],
  whole: ["a whole number", (x) => Number.isSafeInteger(x)],
  flag: ["true or false", (x) => typeof x === "boolean"],
  names: ["a list of names", (x) => Array.isArray(x) && x.every((name) => typeof name === "string")],
  numbers: ["a list of numbers", (x) => Array.isArray(x) && x.every((n) => typeof n === "number")],
};

/** Throws "option" for every value that is not what its option takes. */
export function checkValues(given: ReadonlyMap<string, unknown>, options: readonly Option[]): void {
  const faults = options.flatMap((option) => {
    const value = given.get(option.key);
    const says = value === undefined ? undefined : faultOf(option, value);
    return says === undefined ? [] : [{ option, value, says }];
  });
  const [first] = faults;
  if (first === undefined) return;
  throw new PeftError("option", {
    what: faults.map(({ option, value }) => `${flagOf(option)} is ${JSON.stringify(value)}.`).join(" "),
    why: faults.map(({ option, says }) => `${flagOf(option)} is ${says}.`).join(" "),
    fix: `correct ${faults.map(({ option }) => flagOf(option)).join(", ")}; \`--help\` shows all options.`,
  });
}

function faultOf({ kind, choices, many, row }: Option, value: unknown): string | undefined {
  if (row !== undefined) return rowFault(row, value);
  if (many === true) {
    const list = Array.isArray(value) ? value : [value];
    return list.every((x) => typeof x === "string") ? undefined : "a text, or a list of texts";
  }
  if (choices !== undefined && !isOneOf(value, choices)) return `one of ${choices.join(", ")}`;
  const [name, is] = wanted[kind] ?? ["", () => true];
  return is(value) ? undefined : name;
}

function words(text: string): string[] {
  if (/^\s*\[/.test(text)) return asJson(text) as string[];
  return text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

function asNumber(text: string): unknown {
  const value = Number(text);
  return text.trim() === "" || Number.isNaN(value) ? text : value;
}

function asMap(text: string): unknown {
  const entries = words(text).map((word) => word.split("="));
  if (entries.some((entry) => entry.length !== 2)) return text;
  return Object.fromEntries(entries.map(([name, value]) => [name, asNumber(value!)]));
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
