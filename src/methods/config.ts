import type { ErrorCode } from "../errors.js";
import { PeftError } from "../errors.js";
import { isRecord } from "../narrow.js";
import { defaultText, faultOf, hintsFor, optionKey, pythonName } from "../options.js";
import type { Words } from "../words.js";
import { joined, option, words } from "../words.js";
import type { ConfigClass, Json, MethodRow, MethodTable, SayFault, Selection } from "./method.js";
import { configPattern } from "./pattern.js";
import { checkBlocks } from "./shared_options.js";

/** What a method's config is made of. */
export interface ConfigDefinition<V> {
  /** Every option, by its name in camelCase. */
  readonly options: MethodTable;
  /** Fields of Python's that are not built, with their defaults: refused where they say something. */
  readonly unbuilt?: Readonly<Record<string, Json>>;
  /** Fields of Python's without effect here, with their defaults. */
  readonly ignored?: Readonly<Record<string, Json>>;
  /** Fields among `unbuilt` and `ignored` that Python writes as floats. */
  readonly floats?: readonly string[];
  /** Faults that no option has by itself. */
  readonly check?: (c: V, fault: SayFault) => void;
  /** Values of options that are not given, by what is: of a preset. */
  readonly implied?: (given: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
}

/**
 * A config class with a method's options: `new MyConfig({ r: 8 })` checks them and fills in their defaults.
 * @param peftType as adapter_config.json says it
 * @param name the class's, which errors name
 */
export function configClass<V extends object, O>(
  peftType: string,
  name: string,
  definition: ConfigDefinition<V>,
): ConfigClass<V, O> {
  const { options, floats = [] } = definition;
  const made = class {
    static readonly peftType = peftType;
    static readonly options = options;
    static readonly fields = fieldsOf(peftType, definition);
    static readonly floats = [
      ...floats,
      ...Object.entries(options).flatMap(([key, row]) => (row.float ? [pythonName(key, row)] : [])),
    ];
    static readonly create = (given: Readonly<Record<string, unknown>>): V => new made(given) as V;

    constructor(given: Readonly<Record<string, unknown>> = {}) {
      Object.assign(this, readOptions(name, given, definition), { peftType });
    }
  };
  Object.defineProperty(made, "name", { value: name });
  return made as unknown as ConfigClass<V, O>;
}

/** The same config with other values: what a method fills in from the model. */
export function withFields<C extends object>(c: C, changes: Partial<C>): C {
  return Object.assign(Object.create(Object.getPrototypeOf(c)), c, changes);
}

/** Written by Python into every file. */
const recorded = { peft_type: null, auto_mapping: null, peft_version: "0.21.2" };

function fieldsOf<V>(
  peftType: string,
  { options, unbuilt, ignored }: ConfigDefinition<V>,
): Record<string, Json> {
  const own = Object.entries(options).map(([key, row]): [string, Json] => {
    const { inFile, byDefault = null } = row;
    return [pythonName(key, row), inFile === undefined ? (byDefault as Json) : inFile];
  });
  return { ...recorded, peft_type: peftType, ...Object.fromEntries(own), ...unbuilt, ...ignored };
}

interface Fault {
  readonly what: string | Words;
  readonly why: string | Words;
  readonly fix: string | Words;
  readonly code?: ErrorCode;
}

/**
 * The values of all options. null counts as not given: Python writes it so. Throws PeftError with all faults
 * at once.
 */
function readOptions<V>(
  name: string,
  given: Readonly<Record<string, unknown>>,
  { options, unbuilt = {}, ignored = {}, check, implied }: ConfigDefinition<V>,
): V {
  const faults: Fault[] = [];
  const say: SayFault = (what, why, fix) => void faults.push({ what, why, fix });
  const values = new Map<string, unknown>();
  const unknown: string[] = [];
  for (const [field, value] of Object.entries(given)) {
    const key = optionKey(field, options);
    const isNull = value === null || value === undefined;
    if (key !== undefined && values.has(key))
      say(
        words`${option(key)} is given twice, once as ${field}.`,
        "it is one option.",
        "leave one of them out.",
      );
    else if (key !== undefined && !isNull) values.set(key, value);
    else if (key === undefined && !isField(field, { ...recorded, ...unbuilt, ...ignored }))
      unknown.push(field);
    else if (isField(field, unbuilt) && !isNothing(value)) say(...unbuiltFault(name, field, value));
  }
  if (unknown.length > 0) {
    const what = unknown.map((field) => `${name} has no option "${field}".`).join(" ");
    say(what, "a misspelt option would be without effect.", hintsFor(unknown, options));
  }
  for (const [key, value] of Object.entries(implied?.(Object.fromEntries(values)) ?? {}))
    if (!values.has(key)) values.set(key, value);
  const read = Object.entries(options).map(([key, row]) => {
    const { value = row.byDefault, fault } = readOption(key, row, values.get(key));
    if (fault !== undefined) faults.push(fault);
    return [key, value] as const;
  });
  const c = Object.fromEntries(read) as V;
  checkBlocks(c as Selection, say);
  check?.(c, say);
  throwAll(faults);
  return c;
}

function readOption(
  key: string,
  row: MethodRow,
  given: unknown,
): { readonly value?: unknown; readonly fault?: Fault } {
  if (given === undefined) return {};
  // Python reads the names of starts in any case.
  const value = row.kind === "flag" && typeof given === "string" ? given.toLowerCase() : given;
  const wanted = faultOf(row, value);
  if (wanted === undefined) return { value, ...patternFault(key, row, value) };
  const example = defaultText(row) === undefined || row.otherwise !== undefined ? undefined : row.byDefault;
  const fix =
    row.min !== undefined && typeof value === "number" && value < row.min
      ? words`${option(key, row.min)}.`
      : example === undefined
        ? `give ${wanted}.`
        : words`${option(key, example)}, which is the default.`;
  const code = row.code === undefined ? {} : { code: row.code };
  return {
    fault: {
      what: words`${option(key)} is ${show(given)}.`,
      why: words`${option(key)} is ${wanted}.`,
      fix,
      ...code,
    },
  };
}

/** Regular expressions among the values: targets as one text, and the names of layers in a map. */
function patternFault(key: string, { kind }: MethodRow, value: unknown): { readonly fault?: Fault } {
  const isMap = kind === "numbersByName" || kind === "wholesByName";
  const patterns = isMap ? (isRecord(value) ? Object.keys(value) : []) : kind === "targets" ? [value] : [];
  for (const pattern of patterns) {
    if (typeof pattern !== "string") continue;
    try {
      configPattern(pattern, key);
    } catch (error) {
      if (error instanceof PeftError) return { fault: error };
      throw error;
    }
  }
  return {};
}

function unbuiltFault(name: string, field: string, value: unknown): [string, string, string] {
  return [
    `${name} has ${field}: ${show(value)}.`,
    "peft.js does not have this variant, and without it the results would differ from Python's (docs/methods.md).",
    `leave ${field} out and train again, or merge the adapter in Python.`,
  ];
}

function throwAll(faults: readonly Fault[]): void {
  const [first, ...more] = faults;
  if (first === undefined) return;
  if (first instanceof PeftError && more.length === 0) throw first;
  const code = more.every((fault) => fault.code === first.code) ? first.code : undefined;
  const all = (part: "what" | "why" | "fix"): Words => {
    const texts = new Map(faults.map((fault) => [String(fault[part]), fault[part]])); // each once
    return joined([...texts.values()], " ");
  };
  throw new PeftError(code ?? "adapter-config", { what: all("what"), why: all("why"), fix: all("fix") });
}

/** Whether a name, here or in Python, is one of these fields. */
function isField(name: string, fields: Readonly<Record<string, Json>>): boolean {
  return Object.hasOwn(fields, pythonName(name, undefined));
}

function isNothing(x: unknown): boolean {
  const isEmpty = typeof x === "object" && Object.keys(x ?? {}).length === 0;
  return x === undefined || x === false || x === 0 || isEmpty;
}

function show(x: unknown): string {
  return JSON.stringify(x) ?? String(x);
}
