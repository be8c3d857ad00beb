import { padTokenOf } from "../data/batches.js";
import type { MediaBatches } from "../data/media.js";
import type { Sample } from "../data/sample.js";
import { dataTaskOf } from "../data/tasks/registry.js";
import { learntOf, type Question } from "../data/tasks/task.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig } from "../generate/config.js";
import type { GenerateInput } from "../peft/generate.js";
import type { TrainableModel } from "../peft/trainable.js";
import { transcribe } from "../peft/transcribe.js";
import { at, entry } from "../present.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Words } from "../words.js";
import type { EvaluationProgress } from "./events.js";

export interface AnswerOptions {
  readonly tokenizer: Tokenizer;
  readonly batchSize: number;
  /** Greedy without it. */
  readonly generation?: GenerationConfig | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Gets what `generation` says in vain. @default console.warn */
  readonly warn?: ((message: Words) => void) | undefined;
  /** Hears how far it has come. */
  readonly progress?: ((progress: EvaluationProgress) => void) | undefined;
}

/** What a model answers to a sample's prompt, and what the sample teaches. */
export interface Answer {
  readonly row: number;
  readonly prompt: string;
  readonly output: string;
  readonly expected: string;
  /** The model had more to say than it may. */
  readonly isCut?: boolean;
}

interface AskedQuestion extends Question {
  readonly row: number;
  readonly columns: NonNullable<Sample["columns"]>;
}

/**
 * The samples that ask something: a prompt and a target, or a chat before the assistant's last turn. Not
 * plain text.
 */
export function answerable(samples: readonly Sample[]): readonly Sample[] {
  return samples.filter((sample) => questionOf(sample) !== undefined);
}

function questionOf(sample: Sample): AskedQuestion | undefined {
  const question = dataTaskOf(sample.task).question?.(sample);
  const { row, columns = {} } = sample;
  return question === undefined ? undefined : { row, columns, ...question };
}

/** Answers of models that answer in text, in batches of similar length, in the samples' order. */
export async function answersOf(
  model: TrainableModel,
  samples: readonly Sample[],
  options: AnswerOptions,
): Promise<Answer[]> {
  const questions = samples.map(questionOf).filter((q) => q !== undefined);
  const sorted = questions.toSorted((a, b) => b.ids.length - a.ids.length);
  const settings = settingsOf(model, questions, options);
  const answers: Answer[] = [];
  const say = (done: number): void =>
    options.progress?.({ type: "progress", what: "answers", done, total: sorted.length });
  say(0);
  for (let i = 0; i < sorted.length; i += options.batchSize) {
    if (options.signal?.aborted) throw aborted();
    const questions = sorted.slice(i, i + options.batchSize);
    const warn = i === 0 ? options.warn : (): void => {};
    answers.push(...(await answerBatch(model, questions, settings, { ...options, warn })));
    say(answers.length);
  }
  const place = new Map(questions.map(({ row }, i) => [row, i]));
  return answers.sort((a, b) => entry(place, a.row) - entry(place, b.row));
}

async function answerBatch(
  model: TrainableModel,
  questions: readonly AskedQuestion[],
  settings: GenerationConfig,
  { tokenizer, signal, warn }: AnswerOptions,
): Promise<Answer[]> {
  const width = Math.max(...questions.map(({ ids }) => ids.length));
  const isDecoder = !model.config.encoderDecoder;
  const padded = (row: readonly number[], value: number): number[] => {
    const padding = new Array<number>(width - row.length).fill(value);
    return isDecoder ? [...padding, ...row] : [...row, ...padding];
  };
  const prompt = {
    inputIds: questions.map(({ ids }) => padded(ids, padTokenOf(tokenizer))),
    attentionMask: questions.map(({ ids }) =>
      padded(
        ids.map(() => 1),
        0,
      ),
    ),
    columns: columnsOf(questions),
  };
  const rows = await model.generate(prompt, { ...settings, tokenizer, signal, warn });
  const each = rows.length / questions.length; // of several returned sequences the first, the best, counts
  const text = (ids: readonly number[]): string => tokenizer.decode(ids, { skipSpecialTokens: true }).trim();
  const ends = endsOf(model, settings);
  return questions.map(({ row, ids, expected }, i) => {
    const said = at(rows, i * each).slice(isDecoder ? width : 1);
    const isCut = ends.length > 0 && !said.some((id) => ends.includes(id));
    const answer = { row, prompt: text(ids), output: text(said), expected: text(expected) };
    return isCut ? { ...answer, isCut } : answer;
  });
}

/** What methods read beside the prompts: columns that all of them have. */
function columnsOf(questions: readonly AskedQuestion[]): GenerateInput["columns"] {
  const names = Object.keys(questions[0]?.columns ?? {});
  const rows = (name: string): (number | readonly number[])[] =>
    questions.map(({ columns }) => columns[name]).filter((value) => value !== undefined);
  const whole = names.filter((name) => rows(name).length === questions.length);
  return Object.fromEntries(whole.map((name) => [name, rows(name)]));
}

/** Tokens that end an answer; none where something else does. */
function endsOf(model: TrainableModel, { eosTokenId, stopStrings }: GenerationConfig): readonly number[] {
  const ends = eosTokenId === undefined ? model.base.generationConfig.eosTokenId : eosTokenId;
  if (ends === undefined || ends === null || stopStrings !== undefined) return [];
  return typeof ends === "number" ? [ends] : ends;
}

/** Greedy, as long as the longest target and a little more, unless the caller says otherwise. */
function settingsOf(
  model: TrainableModel,
  questions: readonly AskedQuestion[],
  { generation = {}, tokenizer }: AnswerOptions,
): GenerationConfig {
  const { generationConfig } = model.base;
  const longest = (of: (q: AskedQuestion) => number): number => Math.max(1, ...questions.map(of));
  const room = model.config.encoderDecoder
    ? Number.POSITIVE_INFINITY
    : model.maxPositions - longest(({ ids }) => ids.length);
  const wanted = longest(({ expected }) => expected.length) + 8;
  const { maxNewTokens, maxLength } = generation;
  return {
    numBeams: 1,
    doSample: false,
    padTokenId: generationConfig.padTokenId ?? padTokenOf(tokenizer),
    ...(generationConfig.eosTokenId === undefined ? { eosTokenId: tokenizer.eosTokenId ?? null } : {}),
    ...(maxNewTokens === undefined && maxLength === undefined
      ? { maxNewTokens: Math.max(1, Math.min(wanted, room)) }
      : {}),
    ...generation,
  };
}

/** A clip with what is spoken in it. */
export type SpokenSample = Sample<"SPEECH_SEQ_2_SEQ">;

export function isSpoken(sample: Sample): sample is SpokenSample {
  return sample.task === "SPEECH_SEQ_2_SEQ";
}

/** What a model writes down of clips, in their order: each with the language that its row names. */
export async function spokenAnswers(
  model: TrainableModel,
  samples: readonly SpokenSample[],
  media: MediaBatches,
  { tokenizer, batchSize, generation = {}, signal, warn, progress }: AnswerOptions,
): Promise<Answer[]> {
  const padding = { padTokenId: padTokenOf(tokenizer), paddingSide: "right" } as const;
  const longest = Math.max(1, ...samples.map(({ labels }) => labels.length)) + 8;
  const limit =
    generation.maxNewTokens == null && generation.maxLength == null ? { maxNewTokens: longest } : {};
  const text = (ids: readonly number[]): string => tokenizer.decode(ids, { skipSpecialTokens: true }).trim();
  const times = tokenizer.convertTokensToIds("<|notimestamps|>") ?? Number.POSITIVE_INFINITY;
  const answers: Answer[] = [];
  const say = (): void =>
    progress?.({ type: "progress", what: "answers", done: answers.length, total: samples.length });
  say();
  for (const group of groupsOf(samples, batchSize)) {
    if (signal?.aborted) throw aborted();
    const batch = await media.make(group, padding, undefined);
    if (batch === undefined) continue;
    const features = batch.columns?.["inputFeatures"];
    if (features === undefined || !(features.data instanceof Float32Array)) continue;
    const { language, isTranslated = false } = at(group, 0);
    const spoken =
      language === undefined ? {} : ({ language, task: isTranslated ? "translate" : "transcribe" } as const);
    const recordings = { data: features.data, shape: features.shape };
    const said = await transcribe(model, recordings, { ...limit, ...generation, ...spoken, signal, warn });
    const byRow = new Map(group.map((sample) => [sample.row, sample]));
    for (const [i, row] of [...batch.rows].entries()) {
      const sample = byRow.get(row);
      if (sample === undefined) continue;
      const expected = learntOf(sample.labels).filter((id) => id < times);
      const output = text(at(said, i).ids.filter((id) => id < times));
      answers.push({ row, prompt: sample.at, output, expected: text(expected) });
    }
    say();
  }
  const place = new Map(samples.map(({ row }, i) => [row, i]));
  return answers.sort((a, b) => (place.get(a.row) ?? 0) - (place.get(b.row) ?? 0));
}

/** Samples of one language and task together. */
function* groupsOf(samples: readonly SpokenSample[], size: number): Generator<SpokenSample[]> {
  const byLanguage = new Map<string, SpokenSample[]>();
  for (const sample of samples) {
    const key = `${sample.language} ${sample.isTranslated ?? false}`;
    byLanguage.set(key, [...(byLanguage.get(key) ?? []), sample]);
  }
  for (const own of byLanguage.values())
    for (let i = 0; i < own.length; i += size) yield own.slice(i, i + size);
}

export const aborted = (): PeftError =>
  new PeftError("aborted", {
    what: "The evaluation was stopped.",
    why: "its signal was aborted.",
    fix: "run it again.",
  });
