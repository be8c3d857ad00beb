import { PeftError } from "../../errors.js";
import { isOneOf, isRecord, isWhole } from "../../narrow.js";
import { PROBLEM_TYPES } from "../../task.js";
import type { ModelConfig } from "../model.js";

/** What is wrong with a config.json, and what in it is right and not built here. */
interface Faults {
  readonly wrong: string[];
  readonly unbuilt: string[];
}

/**
 * Reads a config.json into a typed config; every field that is missing or wrong is reported at once.
 * Throws PeftError "checkpoint".
 */
export function readConfig<C>(json: Readonly<Record<string, unknown>>, read: (f: Fields) => C): C {
  const faults: Faults = { wrong: [], unbuilt: [] };
  const config = read(new Fields(json, faults));
  const model = `model_type ${shown(json["model_type"])}`;
  if (faults.wrong.length > 0)
    throw new PeftError("checkpoint", {
      what: `This config.json (${model}) cannot be read.`,
      why: `${[...new Set([...faults.wrong, ...faults.unbuilt])].join("; ")}.`,
      fix: "correct these fields, or take the file from the model's repository again.",
    });
  if (faults.unbuilt.length > 0)
    throw new PeftError("checkpoint", {
      what: `This variant of a model (${model}) is not built here.`,
      why: `${[...new Set(faults.unbuilt)].join("; ")}.`,
      fix: "use a checkpoint of another variant (docs/models.md), or this one in Python.",
    });
  return config;
}

/** A value as JSON, shortened. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Beyond what any model has, and little enough that a file's number alone takes neither time nor memory. */
export const MOST: Readonly<Record<"width" | "layers" | "labels" | "table" | "count", number>> = {
  /** Widths, heads, channels. */
  width: 2 ** 20,
  layers: 1024,
  labels: 100_000,
  /** Entries of tables that a graph holds: distances between positions. */
  table: 2 ** 16,
  /** Vocabularies, positions, windows. */
  count: 2 ** 31 - 1,
};

/** The fields of one JSON object. A field without a fallback must stand there; null counts as absent. */
export class Fields {
  readonly json: Readonly<Record<string, unknown>>;
  readonly #faults: Faults;
  readonly #path: string;
  constructor(json: Readonly<Record<string, unknown>>, faults: Faults, path = "") {
    this.json = json;
    this.#faults = faults;
    this.#path = path;
  }

  has(key: string): boolean {
    return this.json[key] !== undefined && this.json[key] !== null;
  }

  /** A fault that no single field shows; said where each of them is sound. */
  fault(message: string): void {
    if (this.#faults.wrong.length === 0) this.#faults.wrong.push(message);
  }

  /** Something that this file says and peft.js does not build. */
  unbuilt(message: string): void {
    this.#faults.unbuilt.push(message);
  }

  /** A whole number of 1 or more. */
  size(key: string, fallback?: number, most: number = MOST.width): number {
    const isSize = (x: unknown): x is number => isWhole(x) && x > 0 && x <= most;
    return this.#read(key, fallback, isSize, `a whole number from 1 to ${most}`, 1);
  }

  /** How many layers there are. */
  layers(key: string, fallback?: number): number {
    return this.size(key, fallback, MOST.layers);
  }

  /** How many words, positions or tokens of a window there are. */
  count(key: string, fallback?: number): number {
    return this.size(key, fallback, MOST.count);
  }

  /** Height and width, or one number for both. */
  pair(key: string, fallback: number): readonly [number, number] {
    const isSize = (x: unknown): x is number => isWhole(x) && x > 0 && x <= MOST.width;
    const is = (x: unknown): x is number | [number, number] =>
      isSize(x) || (Array.isArray(x) && x.length === 2 && x.every(isSize));
    const value = this.#read<number | [number, number]>(key, fallback, is, "a size, or height and width", 1);
    return typeof value === "number" ? [value, value] : value;
  }

  /** A list of numbers. */
  numbers(key: string): readonly number[] {
    const is = (x: unknown): x is number[] =>
      Array.isArray(x) && x.length <= MOST.width && x.every(Number.isFinite);
    return this.#read(key, undefined, is, "a list of numbers", []);
  }

  /** Sizes of one thing after another. */
  sizes(key: string, fallback: readonly number[]): readonly number[] {
    const is = (x: unknown): x is number[] =>
      Array.isArray(x) &&
      x.length > 0 &&
      x.length <= MOST.layers &&
      x.every((n) => isWhole(n) && n > 0 && n <= MOST.width);
    return this.#read(key, fallback, is, "a list of sizes", fallback);
  }

  number(key: string, fallback?: number): number {
    const isNumber = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);
    return this.#read(key, fallback, isNumber, "a number", 1);
  }

  /** A dropout probability. */
  rate(key: string, fallback: number): number {
    const below1 = (x: unknown): x is number => typeof x === "number" && x >= 0 && x < 1;
    return this.#read(key, fallback, below1, "a number from 0 to below 1", 0);
  }

  flag(key: string, fallback: boolean): boolean {
    return this.#read(key, fallback, (x) => typeof x === "boolean", "true or false", fallback);
  }

  /** One of the names known here. */
  choice<K extends string>(key: string, known: readonly K[], fallback: K): K {
    const value = this.json[key];
    const expected = `one of ${known.map((k) => `"${k}"`).join(", ")}`;
    if (typeof value === "string" && !isOneOf(value, known)) {
      this.unbuilt(this.#unlike(key, expected));
      return fallback;
    }
    return this.#read(key, fallback, (x) => isOneOf(x, known), expected, fallback);
  }

  /** One of the names known here for each of `count` things. */
  choices<K extends string>(
    key: string,
    known: readonly K[],
    count: number,
    fallback: readonly K[],
  ): readonly K[] {
    const is = (x: unknown): x is readonly K[] =>
      Array.isArray(x) && x.length === count && x.every((one) => isOneOf(one, known));
    const expected = `a list of ${count}, each one of ${known.map((k) => `"${k}"`).join(", ")}`;
    return this.#read(key, fallback, is, expected, fallback);
  }

  /** A token id, or undefined where there is none. */
  id(key: string): number | undefined {
    if (!this.has(key)) return undefined;
    return this.#read(key, undefined, isWhole, "a token id", 0);
  }

  object(key: string): Fields | undefined {
    const value = this.json[key];
    if (value === undefined || value === null) return undefined;
    if (isRecord(value)) return new Fields(value, this.#faults, `${this.#path}${key}.`);
    this.#refuse(key, "an object");
    return undefined;
  }

  #read<T>(key: string, fallback: T | undefined, is: (x: unknown) => x is T, expected: string, stand: T): T {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.json[key];
    if (is(value)) return value;
    this.#refuse(key, expected);
    return stand;
  }

  #refuse(key: string, expected: string): void {
    this.#faults.wrong.push(this.#unlike(key, expected));
  }

  #unlike(key: string, expected: string): string {
    const value = this.json[key];
    const found = value === undefined ? "is missing" : `is ${shown(value)}`;
    return `"${this.#path}${key}" ${found} where peft.js reads ${expected}`;
  }
}

/** Fields that the config of every model has. */
export type CommonFields = Pick<
  ModelConfig,
  | "modelType"
  | "vocabSize"
  | "numLabels"
  | "problemType"
  | "padTokenId"
  | "decoderStartTokenId"
  | "initializerRange"
>;

/** What the config of every model of text says in the same words. */
export function commonFields(f: Fields): CommonFields {
  const vocabSize = f.count("vocab_size");
  return { ...fieldsOf(f, vocabSize), decoderStartTokenId: startId(f) };
}

/** Of a model that generates nothing: no layer has a cache. */
export const NOT_CACHED: Pick<ModelConfig, "cache"> = { cache: { layers: 0, kvHeads: 0, headDim: 0 } };

/** What every config says, of a model that has no tokens: it generates nothing, and nothing is cached. */
export function tokenlessFields(
  f: Fields,
): CommonFields & Pick<ModelConfig, "encoderDecoder" | "cache" | "tied"> {
  return { ...fieldsOf(f, 0), encoderDecoder: false, ...NOT_CACHED, tied: false };
}

function fieldsOf(f: Fields, vocabSize: number): CommonFields {
  return {
    modelType: `${f.json["model_type"]}`,
    vocabSize,
    numLabels: numLabels(f),
    problemType: f.has("problem_type")
      ? f.choice("problem_type", PROBLEM_TYPES, "single_label_classification")
      : undefined,
    padTokenId: f.id("pad_token_id"),
    decoderStartTokenId: undefined,
    initializerRange: f.number("initializer_range", 0.02),
  };
}

/**
 * Answers start with a token that there is. Ids of padding may lie beyond the vocabulary: nobody looks them
 * up.
 */
function startId(f: Fields): number | undefined {
  const id = f.id("decoder_start_token_id");
  if (id !== undefined && (id < 0 || id >= f.count("vocab_size")))
    f.fault(`"decoder_start_token_id" is ${id}, and "vocab_size" is ${f.count("vocab_size")}`);
  return id;
}

/** `num_labels` where it stands, else as many as there are names of labels, else transformers' 2. */
function numLabels(f: Fields): number {
  if (f.has("num_labels")) return f.size("num_labels", undefined, MOST.labels);
  const names = f.object("id2label") ?? f.object("label2id");
  return names === undefined ? 2 : Object.keys(names.json).length;
}

/** Each head of keys and values serves as many heads of queries. */
export function checkGroups(f: Fields, heads: number, kvHeads: number): void {
  if (heads % kvHeads !== 0)
    f.fault(`${heads} attention heads do not share ${kvHeads} key and value heads evenly`);
}

/** The sizes of one stack whose heads share the hidden size evenly, each with keys and values of its own. */
export function stackSizes(
  f: Fields,
  sizes: { readonly hiddenSize: number; readonly layers: number; readonly heads: number },
): Pick<ModelConfig, "hiddenSize" | "layers" | "encoderDecoder" | "cache"> & {
  readonly heads: number;
  readonly headDim: number;
} {
  const { hiddenSize, layers, heads } = sizes;
  const headDim = Math.floor(hiddenSize / heads);
  if (headDim * heads !== hiddenSize) f.fault(`a width of ${hiddenSize} is not a multiple of ${heads} heads`);
  return { ...sizes, headDim, encoderDecoder: false, cache: { layers, kvHeads: heads, headDim } };
}
