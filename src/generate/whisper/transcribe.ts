import { at } from "../../present.js";
import type { GenerationConfig } from "../config.js";
import type { Rule } from "../rule.js";
import { logSoftmax } from "../select.js";
import type { WhisperGeneration } from "./config.js";
import { isTooRegular, meanLogProb } from "./fallback.js";
import { mustDetect, startTokens } from "./prompt.js";
import { type SpeechSegment, segmentsOf } from "./segments.js";
import { timestampRule } from "./timestamps.js";

/**
 * What is known of the speech, and how long recordings are written. Reference:
 * WhisperGenerationMixin.generate
 */
export interface SpeechSettings {
  /**
   * The language spoken, as "hindi", "hi" or "<|hi|>"; a list has one for each recording.
   * @default what the model finds likeliest in the first window
   */
  readonly language?: string | readonly string[] | undefined;
  /** "transcribe", or "translate" to English. @default "transcribe" */
  readonly task?: "transcribe" | "translate" | undefined;
  /** Whether times are written between the words; recordings longer than a window need them. */
  readonly returnTimestamps?: boolean | undefined;
  /** Words that may have come before, <|startofprev|> first: names, how things are spelt. */
  readonly promptIds?: readonly number[] | undefined;
  /** Whether these stand before the first window alone or before each. @default "first-segment" */
  readonly promptConditionType?: "first-segment" | "all-segments" | undefined;
  /** Whether each window reads what was written for those before it. @default false */
  readonly conditionOnPrevTokens?: boolean | undefined;
  /** Temperatures that are tried one after another while an answer looks wrong. @default 0 alone */
  readonly temperatures?: readonly number[] | undefined;
  /** An answer that shrinks by more than this when compressed repeats itself: it looks wrong. @default off */
  readonly compressionRatioThreshold?: number | undefined;
  /** An answer whose tokens have a lower mean log-probability looks wrong. @default off */
  readonly logprobThreshold?: number | undefined;
  /** A window that looks wrong and is likelier than this to hold no speech is left out. @default off */
  readonly noSpeechThreshold?: number | undefined;
  /** What the decoder starts with in place of the prompt of language and task, [recordings, tokens]. */
  readonly decoderInputIds?: readonly (readonly number[])[] | undefined;
}

/** Recordings as log-mel features, [recordings, mels, frames]. */
export interface Recordings {
  readonly data: Float32Array;
  readonly shape: readonly number[];
  /** Frames that each of them has. @default all */
  readonly frames?: readonly number[] | undefined;
}

/** What was said in one recording. */
export interface Transcript {
  /** Tokens, without the prompt and the end; times among them where these are asked for. */
  readonly ids: number[];
  readonly segments: SpeechSegment[];
}

/** Runs a decoder over windows: what it starts with, and what it writes behind that, row by row. */
export type DecodeWindows = (
  windows: { readonly data: Float32Array; readonly shape: readonly number[] },
  starts: readonly (readonly number[])[],
  settings: GenerationConfig,
  rules: readonly Rule[],
) => Promise<number[][]>;

/** A recording on its way. */
interface Heard {
  readonly row: number;
  readonly frames: number;
  readonly start: readonly number[];
  seek: number;
  segments: SpeechSegment[];
  /** Whether the next window reads what was written. */
  reads: boolean;
}

/**
 * Writes down recordings of any length: window after window, each from where the last pair of times ended.
 * @throws "generation", "batch", "aborted"
 */
export async function transcribeWith(
  g: WhisperGeneration,
  recordings: Recordings,
  settings: SpeechSettings & GenerationConfig,
  decode: DecodeWindows,
): Promise<Transcript[]> {
  const [rows = 0, , total = 0] = recordings.shape;
  const { numReturnSequences, ...options } = settings;
  const copies = numReturnSequences ?? 1;
  const timestamps = options.returnTimestamps ?? (g.returnTimestamps || total > g.window);
  const starts = await startsOf(g, recordings, { ...options, returnTimestamps: timestamps }, decode);
  const isFirst = options.promptIds !== undefined && options.promptConditionType !== "all-segments";
  const said = (options.promptIds ?? []).filter((id, i) => i > 0 || id !== g.previous);
  const heard = Array.from({ length: rows * copies }, (_, i): Heard => {
    const row = Math.floor(i / copies);
    const frames = Math.min(total, recordings.frames?.[row] ?? total);
    const segments = isFirst ? [{ start: 0, end: 0, tokens: said }] : [];
    const reads = options.conditionOnPrevTokens ?? false;
    return { row, frames, start: at(starts, row), seek: 0, segments, reads };
  });
  const limit = { maxLength: options.maxLength ?? g.maxLength };
  for (;;) {
    const left = heard.filter(({ seek, frames }) => seek < frames);
    if (left.length === 0) break;
    await nextWindows(g, recordings, left, { ...options, returnTimestamps: timestamps }, limit, decode);
  }
  return heard.map(({ segments }) => {
    const own = isFirst ? segments.slice(1) : segments;
    return { ids: own.flatMap(({ tokens }) => [...tokens]), segments: own };
  });
}

type Options = SpeechSettings & GenerationConfig & { readonly returnTimestamps: boolean };

/** What each recording's decoder starts with. */
async function startsOf(
  g: WhisperGeneration,
  recordings: Recordings,
  { language, task, returnTimestamps: timestamps, decoderInputIds }: Options,
  decode: DecodeWindows,
): Promise<readonly (readonly number[])[]> {
  if (decoderInputIds !== undefined) return decoderInputIds;
  const [rows = 0] = recordings.shape;
  const one = typeof language === "string" ? language : language?.[0];
  const detected = mustDetect(g, { language: one, task }) ? await detectLanguages(g, recordings, decode) : [];
  return Array.from({ length: rows }, (_, row) => {
    const spoken = typeof language === "string" ? language : language?.[row];
    return startTokens(g, { language: spoken, task, timestamps }, detected[row]);
  });
}

/** The likeliest language of each recording's first window: its token. */
export async function detectLanguages(
  g: WhisperGeneration,
  recordings: Recordings,
  decode: DecodeWindows,
): Promise<number[]> {
  const [rows = 0] = recordings.shape;
  const windows = windowsOf(
    g,
    recordings,
    Array.from({ length: rows }, (_, row) => ({ row, seek: 0 })),
  );
  const ids = [...g.languages.values()];
  const scores = await firstScores(g, windows, [g.start], decode);
  return scores.map((own) => ids.reduce((a, b) => ((own[b] ?? -Infinity) > (own[a] ?? -Infinity) ? b : a)));
}

/** Scores of the token behind a start, for each window. */
async function firstScores(
  g: WhisperGeneration,
  windows: ReturnType<typeof windowsOf>,
  start: readonly number[],
  decode: DecodeWindows,
): Promise<Float32Array[]> {
  const seen: Float32Array[] = [];
  const settings = {
    maxNewTokens: 1,
    numBeams: 1,
    doSample: false,
    suppressTokens: null,
    beginSuppressTokens: null,
  };
  const [rows = 0] = windows.shape;
  await decode(windows, new Array(rows).fill(start), { ...settings, padTokenId: g.pad, eosTokenId: g.eos }, [
    (_, scores) => void seen.push(scores.slice()),
  ]);
  return seen;
}

/** Windows of recordings, filled with zeros. */
function windowsOf(
  { window }: WhisperGeneration,
  { data, shape }: Recordings,
  places: readonly { readonly row: number; readonly seek: number; readonly frames?: number }[],
): { data: Float32Array; shape: number[] } {
  const [, mels = 0, total = 0] = shape;
  const out = new Float32Array(places.length * mels * window);
  for (const [i, { row, seek, frames = total }] of places.entries())
    for (let mel = 0; mel < mels; mel++) {
      const from = (row * mels + mel) * total;
      const end = Math.min(frames, seek + window);
      out.set(data.subarray(from + seek, from + Math.max(seek, end)), (i * mels + mel) * window);
    }
  return { data: out, shape: [places.length, mels, window] };
}

/** Decodes one window of each recording: those with prompts of one length together. */
async function nextWindows(
  g: WhisperGeneration,
  recordings: Recordings,
  left: readonly Heard[],
  options: Options,
  limit: { maxLength: number },
  decode: DecodeWindows,
): Promise<void> {
  const starts = left.map((one) => withContext(g, one, options));
  const isAlone = options.logprobThreshold !== undefined || options.noSpeechThreshold !== undefined;
  const groups = new Map<number, number[]>();
  for (const i of left.keys()) {
    const key = isAlone ? i : at(starts, i).length;
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  if (options.maxNewTokens == null) {
    const initial = Math.min(
      Math.floor(g.maxTarget / 2) - 1,
      Math.max(...starts.map(({ length }) => length)),
    );
    limit.maxLength = Math.min(limit.maxLength + initial, g.maxTarget);
  }
  for (const places of groups.values()) {
    const group = places.map((i) => at(left, i));
    const own = places.map((i) => at(starts, i));
    const answers = await withFallback(
      g,
      windowsOf(g, recordings, group),
      own,
      { ...options, ...limit },
      decode,
    );
    for (const [i, heard] of group.entries()) take(g, heard, at(answers, i), options);
  }
}

/** Puts an answer behind what was written, and moves on. */
function take(
  g: WhisperGeneration,
  heard: Heard,
  { tokens, skip, temperature }: Answer,
  options: Options,
): void {
  const frames = Math.min(g.window, heard.frames - heard.seek);
  heard.reads = (options.conditionOnPrevTokens ?? false) && temperature < 0.5;
  const begin = g.noTimestamps === undefined ? Infinity : g.noTimestamps + 1;
  const { segments, done } = segmentsOf(tokens, begin, heard.seek, frames);
  if (!skip) heard.segments = [...heard.segments, ...segments];
  // A window that is done at its very start would be decoded again for ever.
  heard.seek += skip || done <= 0 ? frames : done;
}

/** The prompt of a window, with what was said before it where that is read. */
function withContext(g: WhisperGeneration, { start, segments, reads }: Heard, options: Options): number[] {
  const { promptIds = [], promptConditionType } = options;
  if (!reads || segments.length === 0) return [...promptIds, ...start];
  const begin = (g.noTimestamps ?? Infinity) + 1;
  const before = segments.flatMap(({ tokens }) =>
    tokens.length > 2 && at(tokens, -2) >= begin ? tokens.slice(0, -1) : [...tokens],
  );
  const most = Math.floor(g.maxTarget / 2) - 1;
  const first =
    promptConditionType === "all-segments" ? promptIds : g.previous === undefined ? [] : [g.previous];
  return [...first, ...before.slice(-most), ...start];
}

/** What was written for a window. */
interface Answer {
  readonly tokens: number[];
  /** There is no speech in it. */
  readonly skip: boolean;
  readonly temperature: number;
}

async function withFallback(
  g: WhisperGeneration,
  windows: ReturnType<typeof windowsOf>,
  starts: readonly (readonly number[])[],
  options: Options & { readonly maxLength: number },
  decode: DecodeWindows,
): Promise<Answer[]> {
  const {
    temperatures = [0],
    logprobThreshold,
    noSpeechThreshold,
    compressionRatioThreshold: ratio,
  } = options;
  // Beams change their order from step to step: their tokens' probabilities are not followed.
  const isJudged = logprobThreshold !== undefined && (options.numBeams ?? 1) === 1;
  const answers: Answer[] = [];
  let open = starts.map((_, i) => i);
  for (const [attempt, temperature] of temperatures.entries()) {
    const again: number[] = [];
    const part = rowsOf(windows, open);
    const own = open.map((i) => at(starts, i));
    const sampled = temperature > 0;
    const log: Float32Array[] = [];
    const rules = rulesOf(g, options, at(own, 0).length, isJudged ? log : undefined);
    const rows = await decode(part, own, decodingOf(g, options, sampled ? temperature : undefined), rules);
    for (const [k, i] of open.entries()) {
      const whole = withoutPadding(at(rows, k), g);
      let isWrong = ratio !== undefined && isTooRegular(whole, g.vocabSize, ratio);
      const isUnlikely = isJudged && meanLogProb(log, whole) < logprobThreshold;
      isWrong ||= isUnlikely;
      const skip =
        isUnlikely &&
        noSpeechThreshold !== undefined &&
        (await noSpeech(g, part, at(own, k), decode)) > noSpeechThreshold;
      answers[i] = { tokens: whole.at(-1) === g.eos ? whole.slice(0, -1) : whole, skip, temperature };
      if (isWrong && !skip && attempt < temperatures.length - 1) again.push(i);
    }
    if (again.length === 0) break;
    open = again;
  }
  return answers;
}

/** The probability that a window holds no speech: of <|nospeech|> behind the start. */
async function noSpeech(
  g: WhisperGeneration,
  window: ReturnType<typeof windowsOf>,
  start: readonly number[],
  decode: DecodeWindows,
): Promise<number> {
  const [scores = new Float32Array()] = await firstScores(
    g,
    window,
    start.slice(0, start.indexOf(g.start) + 1),
    decode,
  );
  logSoftmax(scores);
  return Math.exp(scores[(g.noTimestamps ?? 0) - 1] ?? -Infinity);
}

function rulesOf(
  g: WhisperGeneration,
  options: Options,
  first: number,
  log: Float32Array[] | undefined,
): Rule[] {
  const rules: Rule[] = options.returnTimestamps ? [timestampRule(g, first)] : [];
  if (log !== undefined)
    rules.push((_, scores) => {
      const copy = scores.slice();
      logSoftmax(copy);
      log.push(copy);
    });
  return rules;
}

/** The settings of one call: sampling has no beams. */
function decodingOf(
  g: WhisperGeneration,
  options: Options & { maxLength: number },
  temperature?: number,
): GenerationConfig {
  const { maxNewTokens, maxLength } = options;
  const { language, task, returnTimestamps, promptIds, promptConditionType, ...rest } = options;
  const { conditionOnPrevTokens, temperatures, compressionRatioThreshold, ...more } = rest;
  const { logprobThreshold, noSpeechThreshold, decoderInputIds, ...decoding } = more;
  return {
    ...decoding,
    ...(maxNewTokens == null ? { maxLength } : { maxNewTokens, maxLength: undefined }),
    ...{ padTokenId: g.pad, eosTokenId: decoding.eosTokenId ?? g.eos },
    ...(temperature === undefined ? { doSample: false } : { doSample: true, temperature, numBeams: 1 }),
  };
}

function rowsOf(
  { data, shape }: ReturnType<typeof windowsOf>,
  rows: readonly number[],
): ReturnType<typeof windowsOf> {
  const [, mels = 0, window = 0] = shape;
  const size = mels * window;
  const out = new Float32Array(rows.length * size);
  for (const [k, row] of rows.entries()) out.set(data.subarray(row * size, (row + 1) * size), k * size);
  return { data: out, shape: [rows.length, mels, window] };
}

/** Without the padding behind its end; the end stays. */
function withoutPadding(ids: readonly number[], { pad, eos }: WhisperGeneration): number[] {
  if (ids.at(-1) !== pad) return [...ids];
  const count = ids.filter((id) => id === pad).length - (pad === eos ? 1 : 0);
  return count === 0 ? [...ids] : ids.slice(0, -count);
}
