import { isRecord, isWhole } from "../../narrow.js";

/** What generation_config.json and config.json say of Whisper's prompts and rules. */
export interface WhisperGeneration {
  /** <|startoftranscript|> */
  readonly start: number;
  readonly eos: number;
  readonly pad: number;
  /** Ids behind it are timestamps. @default the model knows none */
  readonly noTimestamps?: number | undefined;
  /** <|startofprev|> */
  readonly previous?: number | undefined;
  /** Steps of 0.02 s within which the first timestamp must lie. */
  readonly maxInitialTimestamp?: number | undefined;
  readonly multilingual: boolean;
  /** Tokens by their names, "<|hi|>". */
  readonly languages: ReadonlyMap<string, number>;
  /** "transcribe" and "translate". */
  readonly tasks: ReadonlyMap<string, number>;
  /** What old files put behind the start: ids, or null where the language is to be found. */
  readonly forced: readonly (number | null)[];
  readonly returnTimestamps: boolean;
  /** Positions of the decoder. */
  readonly maxTarget: number;
  /** Mel frames that the encoder reads. */
  readonly window: number;
  readonly maxLength: number;
  readonly vocabSize: number;
}

type Json = Readonly<Record<string, unknown>>;

/** Reads both files; `undefined` where they do not describe Whisper. */
export function whisperGeneration(generation: Json, config: Json): WhisperGeneration | undefined {
  if (config["model_type"] !== "whisper") return undefined;
  const number = (key: string, fallback: number): number => {
    const value = generation[key] ?? config[key];
    return isWhole(value) && value >= 0 ? value : fallback;
  };
  const maybe = (key: string): number | undefined => {
    const value = generation[key] ?? undefined;
    return isWhole(value) && value >= 0 ? value : undefined;
  };
  const eos = number("eos_token_id", 50257);
  const languages = idsOf(generation["lang_to_id"]);
  return {
    ...{ eos, pad: number("pad_token_id", eos), start: number("decoder_start_token_id", 50258) },
    ...{ noTimestamps: maybe("no_timestamps_token_id"), previous: maybe("prev_sot_token_id") },
    maxInitialTimestamp: maybe("max_initial_timestamp_index"),
    multilingual: generation["is_multilingual"] !== false && generation["is_multilingual"] !== undefined,
    ...{ languages, tasks: idsOf(generation["task_to_id"]) },
    forced: forcedIds(generation["forced_decoder_ids"] ?? config["forced_decoder_ids"]),
    returnTimestamps: generation["return_timestamps"] === true,
    ...{ maxTarget: number("max_target_positions", 448), window: 2 * number("max_source_positions", 1500) },
    ...{ maxLength: number("max_length", 448), vocabSize: number("vocab_size", 51865) },
  };
}

function idsOf(value: unknown): ReadonlyMap<string, number> {
  const entries = isRecord(value) ? Object.entries(value) : [];
  return new Map(entries.flatMap(([name, id]) => (isWhole(id) && id >= 0 ? [[name, id]] : [])));
}

/** Of pairs [position, id] those from position 1 on, without a gap. */
function forcedIds(value: unknown): (number | null)[] {
  const out: (number | null)[] = [];
  for (const pair of Array.isArray(value) ? value : []) {
    const [position, id] = Array.isArray(pair) ? pair : [];
    if (position !== out.length + 1 || !(id === null || (isWhole(id) && id >= 0))) break;
    out.push(id);
  }
  return out;
}
