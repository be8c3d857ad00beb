import { keysOf } from "../narrow.js";
import { defaultsIn, faultOf, pythonName } from "../options.js";
import { generationTable } from "./generation_table.js";
import type { GenerationValues, PlainGenerationOptions } from "./generation_types.js";

/** Set, unset by the call (null), or left to the next source. */
export type Maybe<T> = T | null | undefined;

/**
 * Settings of generation, named as in transformers, in camelCase. A field left out (undefined) is filled by
 * the next source: options of the call, then the model's own file, then transformers' defaults
 * (GENERATION_DEFAULTS). null in a call's options unsets what the file says (`eosTokenId: null` never stops
 * early).
 * Reference: transformers/generation/configuration_utils.py
 */
export type GenerationConfig = {
  [K in keyof PlainGenerationOptions]: Maybe<Exclude<PlainGenerationOptions[K], undefined>>;
};

/** Names of every setting, the keys of GenerationConfig. */
export type GenerationField = keyof GenerationConfig;

/** What transformers 5.23 does where neither the call nor the model says anything. */
export const GENERATION_DEFAULTS: GenerationDefaults = defaultsIn(generationTable) as GenerationDefaults;

/** The settings that have a default. */
export type GenerationDefaults = {
  readonly [K in keyof GenerationValues as undefined extends GenerationValues[K]
    ? never
    : K]: GenerationValues[K];
};

/** New tokens where no length is set at all. */
export const DEFAULT_NEW_TOKENS = 20;

/**
 * A model's own settings: what its file says, and the keys there that change results and are not known here.
 */
export interface ModelGeneration {
  config: GenerationConfig;
  /** `key: value` of the file that generate() refuses. */
  unsupported: string[];
}

/** The file that a model's settings come from, and its keys that generate() refuses, as `key: value`. */
export interface GenerationSource {
  readonly file: string;
  readonly unsupported: readonly string[];
  /** The file as it was read: what a kind of model has of its own there. */
  readonly json?: Readonly<Record<string, unknown>> | undefined;
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

/**
 * How a setting's value is wrong ("must be ..."), or null. -1 as an end or padding token is how some files
 * say "none".
 */
export function fieldFault(field: GenerationField, value: unknown): string | null {
  const isToken = field === "eosTokenId" || field === "padTokenId";
  if (isToken && [value].flat().every((id) => id === -1)) return null;
  const words = faultOf(generationTable[field], value);
  return words === undefined ? null : `must be ${words}`;
}

/** Ranges that matter when sampling only: files with `temperature: 0, do_sample: false` are about. */
export function samplingFault(field: GenerationField, value: unknown): string | null {
  if (typeof value !== "number") return null;
  if (field === "temperature") return value > 0 ? null : "must be above 0 to sample";
  if (field === "topP" || field === "minP")
    return value >= 0 && value <= 1 ? null : "must be between 0 and 1";
  if (field === "typicalP") return value > 0 && value <= 1 ? null : "must be above 0, at most 1";
  return null;
}

/** Every setting's name; those of the table. */
export const GENERATION_FIELDS: GenerationField[] = keysOf(generationTable);

/**
 * Reads generation_config.json, or config.json where a folder has no such file (never both, as transformers).
 * Nothing is judged here, so that a model whose settings are odd can still be trained.
 */
export function parseGenerationConfig(json: Readonly<Record<string, unknown>>): ModelGeneration {
  const config: Record<string, unknown> = {};
  for (const field of GENERATION_FIELDS) {
    const value = json[pythonName(field)];
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
  return Object.fromEntries(set.map((field) => [pythonName(field), config[field]]));
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
export function list<T>(value: Maybe<T | readonly T[]>): readonly T[] {
  if (value == null) return [];
  return isList(value) ? value : [value];
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}
