import { isRecord, isWhole } from "./narrow.js";
import { nearest } from "./nearest.js";

/**
 * One option. Its type, its check, its flag with the help line, and its row in the docs come from this row
 * alone. The key in the table is its name in the API, in camelCase.
 */
export interface OptionRow extends OptionNames {
  readonly kind: OptionKind;
  /**
   * What it means, as a phrase that ends in no full stop; neither its form nor its default, which stand
   * beside it.
   */
  readonly means: string;
  /** Taken where nothing is given. */
  readonly byDefault?: unknown;
  /** The default in words, where it is found out later. */
  readonly otherwise?: string;
  /** Of what a number is: "tokens", "steps", "bytes". */
  readonly unit?: string;
  readonly min?: number;
  /** Numbers are above it. */
  readonly above?: number;
  readonly max?: number;
  /** Numbers are below it. */
  readonly below?: number;
  /** Infinity is one of the numbers. */
  readonly endless?: true;
  /**
   * Words: of a text the only ones, else taken besides what the kind takes. "_N" or "+N" at the end stands
   * for any whole number.
   */
  readonly choices?: readonly string[];
  /** What stands for the value in help where the kind's own form says too little: FILE. */
  readonly form?: string;
}

/** What else an option is called. */
export interface OptionNames {
  /** Python's name, where it is not the key in snake_case. */
  readonly python?: string;
  /** Names that others give it: refused, and told which is meant. */
  readonly also?: readonly string[];
}

/** Options when defaults are filled in; those without one stay open. */
export type SettledOptions<O, Open extends keyof O> = {
  readonly [K in keyof O]-?: K extends Open ? O[K] : Exclude<O[K], undefined>;
};

/** Options by their names in the API. */
export type OptionTable = Readonly<Record<string, OptionRow>>;

interface Kind {
  /** The TypeScript type. */
  readonly type: string;
  /** What the text of a flag looks like: N stands for a number, NAME for a name; | is between forms. */
  readonly form: string;
  /** What a value is, in words. */
  readonly words: string;
  readonly is: (x: unknown) => boolean;
  /** Reads a flag's text. What cannot be read stays text, for the check to name. */
  readonly read: (text: string) => unknown;
}

/** What values an option takes. */
export type OptionKind =
  | "text"
  | "number"
  | "whole"
  | "flag"
  | "names"
  | "nameOrNames"
  | "targets"
  | "numbers"
  | "pair"
  | "ids"
  | "oneOrMoreIds"
  | "idLists"
  | "texts"
  | "numbersByName"
  | "numberOrByName"
  | "wholesByName"
  | "flagsByName"
  | "idsByName"
  | "json";

const kinds: { readonly [K in OptionKind]: Kind } = {
  text: { type: "string", form: "TEXT", words: "a text", is: isText, read: (text) => text },
  number: { type: "number", form: "N", words: "a number", is: isNumber, read: asNumber },
  whole: { type: "number", form: "N", words: "a whole number", is: isWhole, read: asNumber },
  flag: { type: "boolean", form: "", words: "true or false", is: isFlag, read: asFlag },
  names: { type: "readonly string[]", form: "NAME,NAME", words: "a list of names", is: isNames, read: words },
  nameOrNames: {
    type: "string | readonly string[]",
    form: "NAME,NAME",
    words: "a name or a list of names",
    is: (x) => isText(x) || isNames(x),
    read: words,
  },
  /** Which layers. What holds a sign of a regular expression is one. */
  targets: {
    type: "string | readonly string[]",
    form: "NAME,NAME|REGEX|all-linear",
    words: "a list of names, a regular expression, or all-linear",
    is: (x) => isText(x) || isNames(x),
    read: targets,
  },
  numbers: {
    type: "readonly number[]",
    form: "N,N",
    words: "a list of numbers",
    is: (x) => Array.isArray(x) && x.every(isNumber),
    read: numbers,
  },
  pair: {
    type: "readonly [number, number]",
    form: "N,N",
    words: "two numbers",
    is: (x) => Array.isArray(x) && x.length === 2 && x.every(isNumber),
    read: numbers,
  },
  ids: {
    type: "readonly number[]",
    form: "N,N",
    words: "a list of whole numbers, none below 0",
    is: isIds,
    read: numbers,
  },
  oneOrMoreIds: {
    type: "number | readonly number[]",
    form: "N|N,N",
    words: "a whole number or a list of them, none below 0",
    is: (x) => isId(x) || isIds(x),
    read: (text) => (/[,[]/.test(text) ? numbers(text) : asNumber(text)),
  },
  idLists: {
    type: "readonly (readonly number[])[]",
    form: "[[N,N],[N]]",
    words: "lists of ids, none of them empty",
    is: (x) => Array.isArray(x) && x.every((list) => isIds(list) && list.length > 0),
    read: asJson,
  },
  texts: {
    type: "string | readonly string[]",
    form: "TEXT",
    words: "a text or a list of texts, none of them empty",
    is: (x) => [x].flat().every((text) => typeof text === "string" && text !== ""),
    read: (text) => text,
  },
  numbersByName: {
    type: "Readonly<Record<string, number>>",
    form: "NAME=N,NAME=N",
    words: "numbers by name",
    is: (x) => isRecord(x) && Object.values(x).every(isNumber),
    read: byName,
  },
  numberOrByName: {
    type: "number | Readonly<Record<string, number>>",
    form: "N|NAME=N,NAME=N",
    words: "a number or numbers by name",
    is: (x) => isNumber(x) || (isRecord(x) && Object.values(x).every(isNumber)),
    read: (text) => (/[={]/.test(text) ? byName(text) : asNumber(text)),
  },
  wholesByName: {
    type: "Readonly<Record<string, number>>",
    form: "NAME=N,NAME=N",
    words: "whole numbers by name, all above 0",
    is: (x) => isRecord(x) && Object.values(x).every((n) => isId(n) && n !== 0),
    read: byName,
  },
  flagsByName: {
    type: "Readonly<Record<string, readonly boolean[]>>",
    form: '{"NAME":[true,false]}',
    words: "lists of true and false by name",
    is: (x) => isRecord(x) && Object.values(x).every((list) => Array.isArray(list) && list.every(isFlag)),
    read: asJson,
  },
  idsByName: {
    type: "readonly number[] | Readonly<Record<string, readonly number[]>>",
    form: 'N,N|{"NAME":[N,N]}',
    words: "a list of whole numbers, none below 0, or such lists by name",
    is: (x) => isIds(x) || (isRecord(x) && Object.values(x).every(isIds)),
    read: numbers,
  },
  json: {
    type: "Readonly<Record<string, unknown>>",
    form: '{"NAME":"TEXT"}',
    words: "an object",
    is: isRecord,
    read: asJson,
  },
};

/** What a value of this option is, in words: "a whole number, at least 1". */
export function wordsOf({ kind, choices, min, above, max, below }: OptionRow): string {
  if (kind === "text" && choices !== undefined) return `one of ${quoted(choices)}`;
  const limits = [
    ...(above === undefined ? [] : [`above ${above}`]),
    ...(min !== undefined && max === undefined ? [`at least ${min}`] : []),
    ...(min !== undefined && max !== undefined ? [`from ${min} to ${max}`] : []),
    ...(below === undefined ? [] : [`below ${below}`]),
  ];
  const range = limits.length === 0 ? "" : `, ${limits.join(" and ")}`;
  return `${kinds[kind].words}${range}${choices === undefined ? "" : `, or one of ${quoted(choices)}`}`;
}

/** What a value should be, in words, where it is not; undefined: it is right. */
export function faultOf(row: OptionRow, value: unknown): string | undefined {
  const { kind, choices, min, above, max, below } = row;
  const isWord =
    choices !== undefined && typeof value === "string" && choices.some((c) => isChoice(c, value));
  if (isWord) return undefined;
  if (row.endless === true && value === Number.POSITIVE_INFINITY) return undefined;
  const isAlone = kind === "text" && choices !== undefined;
  const isInRange = [value]
    .flat()
    .every(
      (x) =>
        typeof x !== "number" ||
        ((min === undefined || x >= min) &&
          (above === undefined || x > above) &&
          (max === undefined || x <= max) &&
          (below === undefined || x < below)),
    );
  return !isAlone && kinds[kind].is(value) && isInRange ? undefined : wordsOf(row);
}

/** Reads the text of a flag. What cannot be read stays text, for `faultOf` to name. */
export function readText({ kind, choices }: OptionRow, text: string): unknown {
  return choices?.some((c) => isChoice(c, text)) ? text : kinds[kind].read(text);
}

/**
 * What stands for the value in help: "N", "NAME,NAME", "true|false|NAME" with choices; empty for a flag that
 * takes none.
 */
export function formOf({ kind, choices, form }: OptionRow): string {
  if (form !== undefined) return form;
  if (choices === undefined) return kinds[kind].form;
  return kind === "text" ? "NAME" : `${kind === "flag" ? "true|false" : kinds[kind].form}|NAME`;
}

/** What help says of an option: its meaning, the words it takes, its default. */
export function helpOf(row: OptionRow): string {
  const words = row.choices === undefined || row.form !== undefined ? "" : ` (${row.choices.join(", ")})`;
  const shown = defaultText(row);
  return `${row.means}${words}${shown === undefined ? "" : ` [default: ${shown}]`}`;
}

/** The TypeScript type of its values. */
export function typeOf({ kind, choices = [] }: OptionRow): string {
  const words = choices.map((c) =>
    c.endsWith("_N") ? `\`${c.slice(0, -1)}\${number}\`` : JSON.stringify(c),
  );
  return [...(kind === "text" && choices.length > 0 ? [] : [kinds[kind].type]), ...words].join(" | ");
}

/** The default as help and docs show it; undefined: there is nothing to show. */
export function defaultText({ kind, byDefault, otherwise, unit }: OptionRow): string | undefined {
  if (otherwise !== undefined || byDefault === undefined) return otherwise;
  if (kind === "flag" && typeof byDefault === "boolean") return byDefault ? "on" : "off";
  if (kind === "pair") return String(byDefault);
  if (typeof byDefault === "object") return isEmpty(byDefault) ? "none" : JSON.stringify(byDefault);
  return unit === undefined || typeof byDefault !== "number" ? String(byDefault) : `${byDefault} ${unit}`;
}

/** What a table's options are where nothing is said. */
export function defaultsIn(table: OptionTable): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(table).flatMap(([key, { byDefault }]) =>
      byDefault === undefined ? [] : [[key, byDefault]],
    ),
  );
}

/** The flag of an option, without what turns it off: `--lora-alpha`. */
export function flagName(key: string): string {
  return `--${cut(key, "-")}`;
}

/** What Python calls an option: `lora_alpha`. */
export function pythonName(key: string, row?: OptionNames): string {
  return row?.python ?? cut(key, "_");
}

/** The key of an option by its own name or Python's; undefined: it is none. */
export function optionKey(name: string, table: Readonly<Record<string, OptionNames>>): string | undefined {
  if (Object.hasOwn(table, name)) return name;
  return Object.keys(table).find((key) => pythonName(key, table[key]) === name);
}

/** The option that a name is another word for, however its words are joined: `lora_r` or `--lora-r` for r. */
export function alsoCalled(name: string, table: Readonly<Record<string, OptionNames>>): string | undefined {
  const wanted = camel(name);
  const isSame = (other: string | undefined): boolean => other !== undefined && camel(other) === wanted;
  return Object.keys(table).find((key) =>
    [key, table[key]?.python, ...(table[key]?.also ?? [])].some(isSame),
  );
}

/** The option that a name which is none seems to mean, by other names for it or by likeness. */
export function meantOption(name: string, table: Readonly<Record<string, OptionNames>>): string | undefined {
  return alsoCalled(name, table) ?? nearest(camel(name), Object.keys(table));
}

function camel(name: string): string {
  return name.replace(/[_-]+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** Says of names that are no options what they seem to mean: `use loraAlpha for "alpha".` */
export function hintsFor(unknown: readonly string[], table: Readonly<Record<string, OptionNames>>): string {
  const meant = unknown.flatMap((name) => {
    const key = meantOption(name, table);
    return key === undefined ? [] : [`use ${key} for "${name}"`];
  });
  return meant.length > 0 ? `${meant.join(", ")}.` : `use one of: ${Object.keys(table).sort().join(", ")}.`;
}

/** Words of a camelCase name; a run of capitals is one. */
function cut(key: string, between: string): string {
  return key.replace(/[A-Z]+/g, (run) => between + run.toLowerCase());
}

function quoted(list: readonly string[]): string {
  return list.map((word) => `"${word}"`).join(", ");
}
function isChoice(choice: string, text: string): boolean {
  if (!/[_+]N$/.test(choice)) return choice === text;
  return text.startsWith(choice.slice(0, -1)) && /^\d+$/.test(text.slice(choice.length - 1));
}

function words(text: string): unknown {
  if (/^\s*\[/.test(text)) return asJson(text);
  const list = text.split(",").map((word) => word.trim());
  return list.filter((word) => word !== "");
}
function targets(text: string): unknown {
  const isPattern = !/^\s*\[/.test(text) && /[\\^$*+?()[\]{}|]/.test(text);
  return isPattern || text.toLowerCase() === "all-linear" ? text : words(text);
}
function numbers(text: string): unknown {
  if (/^\s*[[{]/.test(text)) return asJson(text);
  return text.split(",").map((word) => asNumber(word.trim()));
}
function byName(text: string): unknown {
  if (/^\s*\{/.test(text)) return asJson(text);
  const entries = text.split(",").map((word) => {
    const at = word.lastIndexOf("="); // a name that is a pattern may hold one
    return at < 0 ? undefined : ([word.slice(0, at).trim(), asNumber(word.slice(at + 1).trim())] as const);
  });
  return entries.every((entry) => entry !== undefined) ? Object.fromEntries(entries) : text;
}
function asNumber(text: string): unknown {
  const value = Number(text);
  return text.trim() === "" || Number.isNaN(value) ? text : value;
}
function asFlag(text: string): unknown {
  return text === "true" ? true : text === "false" ? false : text;
}
function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function isText(x: unknown): boolean {
  return typeof x === "string";
}
function isFlag(x: unknown): boolean {
  return typeof x === "boolean";
}
function isNumber(x: unknown): boolean {
  return typeof x === "number" && Number.isFinite(x);
}
function isId(x: unknown): x is number {
  return isWhole(x) && x >= 0;
}
function isIds(x: unknown): x is number[] {
  return Array.isArray(x) && x.every(isId);
}
function isNames(x: unknown): boolean {
  return Array.isArray(x) && x.every(isText);
}
function isEmpty(x: object | null): boolean {
  return Object.keys(x ?? {}).length === 0;
}
