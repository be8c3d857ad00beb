import type { OptionRow, OptionKind as RowKind } from "../options.js";
import type { Option, OptionKind } from "./options.js";

/** A JSON Schema, of which only what is written here is used. */
export type Schema = Readonly<Record<string, unknown>>;

const text: Schema = { type: "string" };
const number: Schema = { type: "number" };
const whole: Schema = { type: "integer" };
const flag: Schema = { type: "boolean" };
const id: Schema = { type: "integer", minimum: 0 };
const listOf = (items: Schema): Schema => ({ type: "array", items });
const byName = (values: Schema): Schema => ({ type: "object", additionalProperties: values });
const either = (...anyOf: readonly Schema[]): Schema => ({ anyOf });

/** What the API's options take; numbers get the row's limits. */
const rowKinds: { readonly [K in RowKind]: (numeric: (schema: Schema) => Schema) => Schema } = {
  text: () => text,
  number: (limited) => limited(number),
  whole: (limited) => limited(whole),
  flag: () => flag,
  names: () => listOf(text),
  nameOrNames: () => either(text, listOf(text)),
  targets: () => either(text, listOf(text)),
  numbers: (limited) => listOf(limited(number)),
  pair: (limited) => ({ ...listOf(limited(number)), minItems: 2, maxItems: 2 }),
  ids: () => listOf(id),
  oneOrMoreIds: () => either(id, listOf(id)),
  idLists: () => listOf({ ...listOf(id), minItems: 1 }),
  texts: () => either({ ...text, minLength: 1 }, listOf({ ...text, minLength: 1 })),
  numbersByName: () => byName(number),
  numberOrByName: (limited) => either(limited(number), byName(limited(number))),
  wholesByName: () => byName({ ...whole, minimum: 1 }),
  flagsByName: () => byName(listOf(flag)),
  idsByName: () => either(listOf(id), byName(listOf(id))),
  json: () => ({ type: "object" }),
};

/** What an option of the API takes. */
export function rowSchema({ kind, choices, byDefault, ...row }: OptionRow): Schema {
  const limits: Schema = {
    ...(row.min === undefined ? {} : { minimum: row.min }),
    ...(row.above === undefined ? {} : { exclusiveMinimum: row.above }),
    ...(row.max === undefined ? {} : { maximum: row.max }),
    ...(row.below === undefined ? {} : { exclusiveMaximum: row.below }),
  };
  const plain = rowKinds[kind]((schema) => ({ ...schema, ...limits }));
  const words = (choices ?? []).map(wordSchema);
  const isAlone = kind === "text" && words.length > 0;
  const all = [...(isAlone ? [] : [plain]), ...words];
  // JSON has no infinity: such a default is no value that a file could hold.
  const isValue = byDefault !== undefined && byDefault !== Number.POSITIVE_INFINITY;
  return { ...(all.length === 1 ? all[0] : either(...all)), ...(isValue ? { default: byDefault } : {}) };
}

/** "_N" or "+N" at the end stands for any whole number. */
function wordSchema(word: string): Schema {
  const start = word.slice(0, -1).replaceAll("+", "\\+");
  return /[_+]N$/.test(word) ? { type: "string", pattern: `^${start}\\d+$` } : { const: word };
}

/** What the command line's own options take in a file. */
const ownKinds: { readonly [K in OptionKind]: Schema } = {
  text,
  number,
  whole,
  flag,
  names: listOf(text),
  targets: either(text, listOf(text)),
  numberOrNumbers: either(number, listOf(number)),
  numbers: listOf(number),
  map: either({ type: "object" }, number, text),
  json: {},
  value: {},
  byMethod: {},
};

/** What an option of the command line alone takes. */
export function valueSchema({ kind, choices, many }: Option): Schema {
  const one: Schema = choices === undefined ? ownKinds[kind] : { enum: choices };
  return many === true ? either(one, listOf(one)) : one;
}
