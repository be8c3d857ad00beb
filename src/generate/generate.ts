import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import { decodeBeams } from "./beam.js";
import type { GenerationConfig, GenerationSource } from "./config.js";
import { makeRules } from "./processors.js";
import { type Decoding, type GenerationContext, resolveGeneration } from "./resolve.js";
import { decodeRows } from "./rows.js";
import type { Rule } from "./rule.js";
import type { Generated, Run } from "./run.js";
import type { MakeStepper, Stepper, TokenDecoder } from "./stepper.js";
import { makeStops } from "./stop.js";
import type { TokenStreamer } from "./streamer.js";

/** What generation starts from, one row per prompt, before rows are repeated. */
export interface Prompt {
  /** Decoders: input_ids with their padding, on the left. Encoder-decoders: the decoder's start tokens. */
  ids: readonly (readonly number[])[];
  /** Decoders: 0 at padding. Left out: no padding. */
  mask?: readonly (readonly number[])[] | undefined;
  isEncoderDecoder: boolean;
}

/** What a call may pass beside the settings. */
export interface GenerateOptions {
  /** Gets every token as it comes; one row at a time, no beams. */
  streamer?: TokenStreamer | undefined;
  /** Stops between two tokens with PeftError "aborted". */
  signal?: AbortSignal | undefined;
  /** Needed for stopStrings. */
  tokenizer?: TokenDecoder | undefined;
  /** Of sampling: the same seed, prompt and settings give the same tokens. */
  seed?: number | undefined;
  /** config.json's max_position_embeddings, which bounds the default length. */
  maxPositions?: number | undefined;
  /** The model's own file, for messages, and its keys that generate() refuses. */
  source?: GenerationSource | undefined;
  /** Rules beside those of the settings, applied behind them and before those of sampling. @default none */
  rules?: readonly Rule[] | undefined;
  /** The settings of the call alone: messages name what is wrong with others by the model's file. */
  given?: GenerationConfig | undefined;
}

/**
 * Generates: greedy (the default), sampling (doSample), beams (numBeams), as transformers' generate() does.
 * `config` is merged already: mergeGeneration(options of the call, the model's own).
 * Codes: generation (settings, prompt; before the model is touched), aborted.
 * Reference: transformers/generation/utils.py
 */
export async function generate(
  makeStepper: MakeStepper,
  prompt: Prompt,
  config: GenerationConfig,
  options: GenerateOptions = {},
): Promise<Generated> {
  try {
    const width = checkPrompt(prompt);
    const context = {
      promptLength: width,
      maxPositions: options.maxPositions,
      source: options.source,
      given: options.given,
    };
    const decoding = resolveGeneration(config, { ...context, vocabSize: Number.POSITIVE_INFINITY });
    const stops = makeStops(decoding, options.tokenizer);
    checkStreamer(decoding, prompt, options);
    const expand = Math.max(decoding.numBeams, decoding.numReturnSequences);
    const stepper = await makeStepper(expand);
    return await withStepper(stepper, async () => {
      checkVocabulary(config, context, stepper);
      const run = { stepper, decoding, stops, ...repeat(prompt, expand), ...callOf(decoding, options) };
      options.streamer?.begin(decoding.stopStrings);
      return await (decoding.numBeams > 1 ? decodeBeams(run) : decodeRows(run));
    });
  } finally {
    options.streamer?.end();
  }
}

function callOf(
  decoding: Decoding,
  options: GenerateOptions,
): Pick<Run, "rules" | "seed" | "streamer" | "signal"> {
  const { seed = 0, streamer, signal } = options;
  return { rules: makeRules(decoding, options.rules), seed, streamer, signal };
}

async function withStepper<T>(stepper: Stepper, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await stepper.end();
  }
}

/** Judges ids of the settings against the model's vocabulary, which only the Stepper knows. */
function checkVocabulary(
  config: GenerationConfig,
  context: Omit<GenerationContext, "vocabSize">,
  { vocabSize }: Stepper,
): void {
  resolveGeneration(config, { ...context, vocabSize });
}

/** Rows as the Stepper has them: every prompt `expand` times, interleaved. */
function repeat({ ids, mask, isEncoderDecoder }: Prompt, expand: number): Pick<Run, "prompts" | "padding"> {
  const rows = Array.from({ length: ids.length * expand }, (_, row) => Math.floor(row / expand));
  const leading = (row: number) => (isEncoderDecoder ? 0 : (mask?.[row]?.findIndex((m) => m !== 0) ?? 0));
  return {
    prompts: rows.map((row) => Int32Array.from(at(ids, row))),
    padding: rows.map((row) => Math.max(0, leading(row))),
  };
}

/** Width of the prompt. */
function checkPrompt({ ids, mask, isEncoderDecoder }: Prompt): number {
  const width = ids[0]?.length ?? 0;
  const shape = (rows: Prompt["ids"]) => JSON.stringify(rows.map((row) => row.length));
  if (width === 0 || ids.some((row) => row.length !== width)) {
    throw new PeftError("generation", {
      what: `The prompts are ${shape(ids)} tokens long.`,
      why: "generation needs at least one prompt, none of them empty, all padded to one length.",
      fix: "tokenize with padding: true, or generate one prompt at a time.",
    });
  }
  if (!mask || isEncoderDecoder) return width;
  if (shape(mask) !== shape(ids)) {
    throw new PeftError("generation", {
      what: `The mask has rows of ${shape(mask)}, the prompts of ${shape(ids)}.`,
      why: "the mask says of every token whether it is padding.",
      fix: "pass the attentionMask that the tokenizer gave with these ids.",
    });
  }
  const right = mask.flatMap((row, i) => (row.at(-1) === 0 ? [i] : []));
  if (right.length > 0) {
    throw new PeftError("generation", {
      what: `Prompts ${right.join(", ")} have padding on the right.`,
      why: "a decoder continues the last token, which would be padding.",
      fix: 'tokenize with paddingSide: "left".',
    });
  }
  return width;
}

function checkStreamer(decoding: Decoding, prompt: Prompt, { streamer }: GenerateOptions): void {
  if (!streamer) return;
  const rows = prompt.ids.length * decoding.numReturnSequences;
  if (decoding.numBeams === 1 && rows === 1) return;
  throw new PeftError("generation", {
    what: words`A streamer with ${decoding.numBeams > 1 ? option("numBeams", decoding.numBeams) : `${rows} rows`}.`,
    why: "a stream is one answer, whose tokens are final when they come.",
    fix: words`use ${option("numBeams", 1)} and one prompt with one answer, or no streamer.`,
  });
}
