/** Set, unset by the call (null), or left to the next source. */
export type Maybe<T> = T | null | undefined;

/**
 * Settings of generation, named as in transformers, in camelCase. A field left out (undefined) is filled by the
 * next source: options of the call, then the model's own file, then transformers' defaults (GENERATION_DEFAULTS).
 * null in a call's options unsets what the file says (`eosTokenId: null` never stops early).
 * Reference: transformers/generation/configuration_utils.py
 */
export interface GenerationConfig {
  /** Length of the whole sequence, prompt included; maxNewTokens wins. Default: 20 new tokens. */
  maxLength?: Maybe<number>;
  maxNewTokens?: Maybe<number>;
  /** Length, prompt included, before which no end token may come; minNewTokens wins. */
  minLength?: Maybe<number>;
  minNewTokens?: Maybe<number>;
  doSample?: Maybe<boolean>;
  numBeams?: Maybe<number>;
  numReturnSequences?: Maybe<number>;
  temperature?: Maybe<number>;
  /** 0 is off; 50 when sampling and nothing is said, as in transformers. */
  topK?: Maybe<number>;
  topP?: Maybe<number>;
  minP?: Maybe<number>;
  typicalP?: Maybe<number>;
  repetitionPenalty?: Maybe<number>;
  noRepeatNgramSize?: Maybe<number>;
  /** Beams: a sequence's score is its log-probability / new tokens ** lengthPenalty. */
  lengthPenalty?: Maybe<number>;
  /** Beams: true stops at numBeams finished ones, false by a heuristic, "never" when none can get better. */
  earlyStopping?: Maybe<boolean | "never">;
  eosTokenId?: Maybe<number | number[]>;
  padTokenId?: Maybe<number>;
  bosTokenId?: Maybe<number>;
  decoderStartTokenId?: Maybe<number>;
  forcedBosTokenId?: Maybe<number>;
  forcedEosTokenId?: Maybe<number | number[]>;
  suppressTokens?: Maybe<number[]>;
  beginSuppressTokens?: Maybe<number[]>;
  stopStrings?: Maybe<string | string[]>;
  badWordsIds?: Maybe<number[][]>;
}

/** Names of every setting, the keys of GenerationConfig. */
export type GenerationField = keyof GenerationConfig;

/** What transformers 5.23 does where neither the call nor the model says anything. */
export const GENERATION_DEFAULTS = {
  minLength: 0,
  doSample: false,
  numBeams: 1,
  numReturnSequences: 1,
  temperature: 1,
  topK: 50,
  topP: 1,
  typicalP: 1,
  repetitionPenalty: 1,
  noRepeatNgramSize: 0,
  lengthPenalty: 1,
  earlyStopping: false,
} as const;

/** New tokens where no length is set at all. */
export const DEFAULT_NEW_TOKENS = 20;

/** A model's own settings: what its file says, and the keys there that change results and are not known here. */
export interface ModelGeneration {
  config: GenerationConfig;
  /** `key: value` of generation_config.json that generate() refuses. */
  unsupported: string[];
}

/** Keys of files that would change what is generated, with the values that leave it alone. */
const UNSUPPORTED: Record<string, unknown[]> = {
  encoder_no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  top_h: [],
  exponential_decay_length_penalty: [],
  sequence_bias: [],
  guidance_scale: [1],
  num_beam_groups: [1],
  penalty_alpha: [0],
  force_words_ids: [],
  renormalize_logits: [false],
  dola_layers: [],
  watermarking_config: [],
  token_healing: [false],
};

/** Says how a value is wrong ("must be ..."), or null. */
export type Check = (value: unknown) => string | null;

const number: Check = (value) => (Number.isFinite(value) ? null : "must be a number");
const boolean: Check = (value) => (typeof value === "boolean" ? null : "must be true or false");
const integer =
  (low: number, high = Number.POSITIVE_INFINITY): Check =>
  (value) => {
    if (Number.isInteger(value) && (value as number) >= low && (value as number) <= high) return null;
    const to = Number.isFinite(high) ? `from ${low} to ${high}` : `of at least ${low}`;
    return `must be a whole number ${to}`;
  };
/** Beyond what anybody wants: a number in a model's file must not take all time and memory. */
const MOST_ROWS = 1000;
const MOST_TOKENS = 2 ** 20;
const arrayOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) ? (value.map(check).find(Boolean) ?? null) : "must be a list";
const oneOrMany =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) ? arrayOf(check)(value) : check(value);
const text: Check = (value) =>
  typeof value === "string" && value !== "" ? null : "must be a text that is not empty";
const badWords: Check = (value) =>
  arrayOf((ids) =>
    Array.isArray(ids) && ids.length > 0 ? arrayOf(integer(0))(ids) : "must be lists of ids",
  )(value);
const stopping: Check = (value) =>
  value === "never" || typeof value === "boolean" ? null : 'must be true, false or "never"';

/** What each setting may be; total. -1 as an end or padding token is how some files say "none". */
export const fieldFaults: { [K in GenerationField]-?: Check } = {
  maxLength: integer(1, MOST_TOKENS),
  maxNewTokens: integer(1, MOST_TOKENS),
  minLength: integer(0, MOST_TOKENS),
  minNewTokens: integer(0, MOST_TOKENS),
  doSample: boolean,
  numBeams: integer(1, MOST_ROWS),
  numReturnSequences: integer(1, MOST_ROWS),
  temperature: number,
  topK: integer(0),
  topP: number,
  minP: number,
  typicalP: number,
  repetitionPenalty: (value) =>
    Number.isFinite(value) && (value as number) > 0 ? null : "must be a number above 0",
  noRepeatNgramSize: integer(0),
  lengthPenalty: number,
  earlyStopping: stopping,
  eosTokenId: oneOrMany(integer(-1)),
  padTokenId: integer(-1),
  bosTokenId: integer(0),
  decoderStartTokenId: integer(0),
  forcedBosTokenId: integer(0),
  forcedEosTokenId: oneOrMany(integer(0)),
  suppressTokens: arrayOf(integer(0)),
  beginSuppressTokens: arrayOf(integer(0)),
  stopStrings: oneOrMany(text),
  badWordsIds: badWords,
};

/** Ranges that matter when sampling only: files with `temperature: 0, do_sample: false` are about. */
export const samplingFaults: { [K in "temperature" | "topP" | "minP" | "typicalP"]: Check } = {
  temperature: (value) => ((value as number) > 0 ? null : "must be above 0 to sample"),
  topP: (value) => ((value as number) >= 0 && (value as number) <= 1 ? null : "must be between 0 and 1"),
  minP: (value) => ((value as number) >= 0 && (value as number) <= 1 ? null : "must be between 0 and 1"),
  typicalP: (value) =>
    (value as number) > 0 && (value as number) <= 1 ? null : "must be above 0, at most 1",
};

/** Every setting's name; total, so that a new field does not compile without its check. */
export const GENERATION_FIELDS: GenerationField[] = Object.keys(fieldFaults) as GenerationField[];

/**
 * Reads generation_config.json, or config.json where a folder has no such file (never both, as transformers).
 * Nothing is judged here, so that a model whose settings are odd can still be trained.
 */
export function parseGenerationConfig(json: Readonly<Record<string, unknown>>): ModelGeneration {
  const config: Record<string, unknown> = {};
  for (const field of GENERATION_FIELDS) {
    const value = json[snakeCase(field)];
    if (value !== undefined && value !== null) config[field] = value;
  }
  const unsupported = Object.entries(UNSUPPORTED)
    .filter(([key, neutral]) => json[key] != null && !neutral.includes(json[key]))
    .map(([key]) => `${key}: ${JSON.stringify(json[key])}`);
  return { config: config as GenerationConfig, unsupported };
}

/** The settings in generation_config.json's names; unset ones are left out. */
export function formatGenerationConfig(config: GenerationConfig): Record<string, unknown> {
  const set = GENERATION_FIELDS.filter((field) => config[field] != null);
  return Object.fromEntries(set.map((field) => [snakeCase(field), config[field]]));
}

/** Joins sources, the first that says something wins; null says "none". */
export function mergeGeneration(...sources: readonly GenerationConfig[]): GenerationConfig {
  const said = (source: GenerationConfig) =>
    Object.entries(source).filter(([, value]) => value !== undefined);
  return Object.fromEntries([...sources].reverse().flatMap(said));
}

/** The token with which an encoder-decoder's answer starts, or undefined where no source names one. */
export function decoderStartToken(config: GenerationConfig): number | undefined {
  return config.decoderStartTokenId ?? config.bosTokenId ?? undefined;
}

/** One or many as many. */
export function list<T>(value: Maybe<T | T[]>): T[] {
  if (value == null) return [];
  return Array.isArray(value) ? value : [value];
}

/** A setting's name in files. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
