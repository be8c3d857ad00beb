import { type ErrorParts, PeftError } from "../errors.js";
import { isOneOf } from "../narrow.js";
import { hintsFor, pythonName } from "../options.js";
import { joined, option, type Words, words } from "../words.js";
import {
  DEFAULT_NEW_TOKENS,
  fieldFault,
  GENERATION_DEFAULTS,
  GENERATION_FIELDS,
  type GenerationConfig,
  type GenerationField,
  type GenerationSource,
  list,
  samplingFault,
} from "./config.js";
import { generationTable } from "./generation_table.js";

/** Settings with everything decided: what the decoding loops read. */
export interface Decoding {
  promptLength: number;
  maxLength: number;
  minLength: number;
  doSample: boolean;
  numBeams: number;
  numReturnSequences: number;
  temperature: number;
  topK: number;
  topP: number;
  minP: number | null;
  typicalP: number;
  repetitionPenalty: number;
  noRepeatNgramSize: number;
  lengthPenalty: number;
  earlyStopping: boolean | "never";
  /** End tokens; empty: none. */
  eos: readonly number[];
  /** Filler behind finished rows: padTokenId, else the first end token. */
  pad: number | null;
  forcedBos: number | null;
  forcedEos: readonly number[];
  suppress: readonly number[];
  beginSuppress: readonly number[];
  badWords: readonly (readonly number[])[];
  stopStrings: readonly string[];
}

/** What the settings are resolved against. */
export interface GenerationContext {
  /** Tokens of the prompt with its padding (decoders) or start tokens (encoder-decoders). */
  promptLength: number;
  vocabSize: number;
  /** config.json's max_position_embeddings, which bounds the default length only. */
  maxPositions?: number | undefined;
  source?: GenerationSource | undefined;
  /** What the call itself says: faults of all other settings are the model's file's. @default all of them */
  given?: GenerationConfig | undefined;
}

/**
 * Decides everything that generation needs, after judging it: all faults at once.
 * Codes: generation.
 */
export function resolveGeneration(config: GenerationConfig, context: GenerationContext): Decoding {
  const faults: Fault[] = settingFaults(config, context);
  if (faults.length > 0) raiseFaults(faults);
  const value = { ...GENERATION_DEFAULTS, ...dropUnset(config) };
  const eos = list(config.eosTokenId).filter((id) => id >= 0);
  const pad = config.padTokenId ?? -1;
  return {
    ...lengths(config, context),
    doSample: value.doSample,
    numBeams: value.numBeams,
    numReturnSequences: value.numReturnSequences,
    temperature: value.temperature,
    topK: value.topK,
    topP: value.topP,
    minP: config.minP ?? null,
    typicalP: value.typicalP,
    repetitionPenalty: value.repetitionPenalty,
    noRepeatNgramSize: value.noRepeatNgramSize,
    lengthPenalty: value.lengthPenalty,
    earlyStopping: value.earlyStopping,
    eos,
    pad: pad >= 0 ? pad : (eos[0] ?? null),
    forcedBos: config.forcedBosTokenId ?? null,
    forcedEos: list(config.forcedEosTokenId),
    suppress: config.suppressTokens ?? [],
    beginSuppress: config.beginSuppressTokens ?? [],
    badWords: config.badWordsIds ?? [],
    stopStrings: list(config.stopStrings),
  };
}

/** The whole length that generation may reach, prompt included: maxNewTokens, else maxLength, else 20 new. */
export function maxGenerationLength(
  config: GenerationConfig,
  context: Pick<GenerationContext, "promptLength" | "maxPositions">,
): number {
  if (config.maxNewTokens != null) return context.promptLength + config.maxNewTokens;
  if (config.maxLength != null) return config.maxLength;
  return Math.min(
    context.promptLength + DEFAULT_NEW_TOKENS,
    context.maxPositions ?? Number.POSITIVE_INFINITY,
  );
}

function lengths(
  config: GenerationConfig,
  context: GenerationContext,
): Pick<Decoding, "promptLength" | "maxLength" | "minLength"> {
  const { promptLength } = context;
  const minLength =
    config.minNewTokens != null ? promptLength + config.minNewTokens : (config.minLength ?? 0);
  return { promptLength, maxLength: maxGenerationLength(config, context), minLength };
}

type Said = { [K in GenerationField]?: NonNullable<GenerationConfig[K]> };

function dropUnset(config: GenerationConfig): Said {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value != null));
}

/** One thing wrong with the settings, in the three parts of an error. */
type Fault = ErrorParts<string | Words>;

/** Everything wrong with the settings on this model and prompt. */
function settingFaults(config: GenerationConfig, context: GenerationContext): Fault[] {
  const faults = valueFaults(config, context);
  if (faults.length > 0) return faults; // the other checks rely on sound values
  return [...unsupportedFaults(context), ...tokenFaults(config, context), ...pairFaults(config, context)];
}

/** A setting as its source names it: an option of the call, or a key of the model's file. */
function named(
  field: string,
  value: unknown,
  { given, source }: Pick<GenerationContext, "given" | "source">,
): { what: Words; name: string | Words; fix: Words } {
  if (given === undefined || new Map<string, unknown>(Object.entries(given)).get(field) != null) {
    const name = option(field);
    return { what: words`${option(field, value)}.`, name, fix: words`change ${name} or leave it out.` };
  }
  const key = `"${pythonName(field)}"`;
  const text = JSON.stringify(value).slice(0, 80);
  const what = words`"${fileOf(source)}" has ${key}: ${text}.`;
  return { what, name: key, fix: words`correct the file, or set ${option(field)} here.` };
}

function fileOf(source: GenerationContext["source"]): string {
  return source?.file ?? "generation_config.json";
}

function valueFaults(config: GenerationConfig, context: GenerationContext): Fault[] {
  const faults: Fault[] = [];
  for (const [field, value] of Object.entries(config)) {
    if (value == null) continue;
    // the longest whole of a file does not matter where new tokens are counted
    if (field === "maxLength" && config.maxNewTokens != null && context.given?.maxLength == null) continue;
    const isField = isOneOf(field, GENERATION_FIELDS);
    const sampling = isField && config.doSample === true ? samplingFault(field, value) : null;
    const why = isField ? (fieldFault(field, value) ?? sampling) : "is no setting of generation";
    if (!why) continue;
    const { what, name, fix } = named(field, value, context);
    faults.push({
      what,
      why: words`${name} ${why}.`,
      fix: isField ? fix : hintsFor([field], generationTable),
    });
  }
  return faults;
}

function unsupportedFaults({ source }: GenerationContext): Fault[] {
  const unsupported = source?.unsupported ?? [];
  if (unsupported.length === 0) return [];
  const what = `"${fileOf(source)}" has ${unsupported.join(", ")}.`;
  const why = "these change what is generated and are not supported here.";
  return [{ what, why, fix: "remove these keys from the file." }];
}

const TOKEN_FIELDS: GenerationField[] = ["padTokenId", "forcedBosTokenId", "forcedEosTokenId", "badWordsIds"];

/** Ids that the model does not have; suppressing or ending at one that is not there harms nobody. */
function tokenFaults(config: GenerationConfig, context: GenerationContext): Fault[] {
  const { vocabSize } = context;
  return TOKEN_FIELDS.flatMap((field) => {
    const ids = [config[field]].flat(2).filter((id) => typeof id === "number");
    const beyond = ids.filter((id) => id >= vocabSize);
    if (beyond.length === 0) return [];
    const { what, fix } = named(field, beyond, context);
    return [{ what, why: `the model has tokens 0 to ${vocabSize - 1}.`, fix }];
  });
}

/** Settings that contradict each other or the prompt. */
function pairFaults(config: GenerationConfig, context: GenerationContext): Fault[] {
  const faults: Fault[] = [];
  const beams = config.numBeams ?? 1;
  const returned = config.numReturnSequences ?? 1;
  if (returned > 1 && beams === 1 && config.doSample !== true) {
    const why = "greedy decoding has one answer.";
    faults.push({
      what: words`${option("numReturnSequences", returned)}.`,
      why,
      fix: words`set ${option("doSample", true)} or ${option("numBeams")}.`,
    });
  } else if (beams > 1 && returned > beams) {
    faults.push({
      what: words`${option("numReturnSequences", returned)}.`,
      why: words`${option("numBeams")} is ${beams}, so no more than ${beams} answers exist.`,
      fix: words`set ${option("numBeams", returned)} or more.`,
    });
  }
  return [...faults, ...forcedFaults(config), ...lengthFaults(config, context)];
}

function forcedFaults(config: GenerationConfig): Fault[] {
  const suppressed = new Set(config.suppressTokens ?? []);
  return (["forcedBosTokenId", "forcedEosTokenId"] as const).flatMap((field) => {
    const forced = list(config[field]);
    if (forced.length === 0 || !forced.every((id) => suppressed.has(id))) return [];
    return [
      {
        what: words`${option(field, forced)}.`,
        why: words`the same tokens are in ${option("suppressTokens")}, so nothing could follow.`,
        fix: words`take them out of ${option("suppressTokens")} or ${option(field)}.`,
      },
    ];
  });
}

function lengthFaults(config: GenerationConfig, context: GenerationContext): Fault[] {
  const longest = maxGenerationLength(config, context);
  if (context.promptLength < longest) return [];
  const what = `The prompt is ${context.promptLength} tokens long and the whole may be ${longest}.`;
  const why = "nothing is left to generate.";
  return [
    {
      what,
      why,
      fix: words`set ${option("maxNewTokens")}, a larger ${option("maxLength")}, or shorten the prompt.`,
    },
  ];
}

/** What `options` say in vain: settings of sampling where nothing is sampled. */
export function samplingInVain(options: GenerationConfig, { doSample }: GenerationConfig): Words | undefined {
  if (doSample === true) return undefined;
  const fields = (["temperature", "topK", "topP", "minP", "typicalP"] as const).filter((field) => {
    const neutral = field === "minP" ? 0 : GENERATION_DEFAULTS[field];
    return options[field] != null && options[field] !== neutral;
  });
  if (fields.length === 0) return undefined;
  const names = joined(fields.map((field) => option(field, options[field])));
  return words`${names} without ${option("doSample", true)}: the likeliest token is taken each time, whatever ${fields.length > 1 ? "they say" : "it says"}.`;
}

/** Raises all faults as one error. */
function raiseFaults(faults: readonly Fault[]): never {
  const join = (part: keyof Fault): Words =>
    joined(
      faults.map((fault) => fault[part]),
      " ",
    );
  throw new PeftError("generation", { what: join("what"), why: join("why"), fix: join("fix") });
}
