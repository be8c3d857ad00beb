import { type NamesOf, pickOptions, refuseUnknown } from "../arguments.js";
import type { Batch, TaskType } from "../data/batch.js";
import { batchesOf, padTokenOf } from "../data/batches.js";
import type { EncodeRowsOptions } from "../data/encode.js";
import { encodeRows } from "../data/encode.js";
import { expectProcessor, MediaBatches, type MediaOptions, mediaNames } from "../data/media.js";
import { noTokenizer, refuseText } from "../data/no_tokenizer.js";
import type { ChatRow, Row } from "../data/row.js";
import { expectRows, labelNames, saidText } from "../data/row.js";
import { type RowStream, rowsOf } from "../data/row_stream.js";
import type { Sample } from "../data/sample.js";
import type { GenerationConfig } from "../generate/config.js";
import type { Loss } from "../losses/loss.js";
import { isRecord } from "../narrow.js";
import type { TrainableModel } from "../peft/trainable.js";
import { at, entry } from "../present.js";
import type { ClassReport } from "../tasks/class_report.js";
import type { Scored, Scores, Vocabulary } from "../tasks/scores.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Words } from "../words.js";
import { aborted, answerable, answersOf, isSpoken, spokenAnswers } from "./answers.js";
import { type CustomMetrics, measureBy } from "./custom_metrics.js";
import type { EvaluationProgress, SampleEvent } from "./events.js";
import { expectModel } from "./model.js";
import type { Prediction } from "./prediction.js";
import { sizesOf } from "./row_source.js";
import { scoresOf } from "./scores.js";

/** How a model is evaluated. */
export interface EvaluateOptions
  extends Pick<
      EncodeRowsOptions<TaskType>,
      "maxLength" | "maxTargetLength" | "labels" | "emptyLabels" | "truncationSide"
    >,
    Omit<MediaOptions, "augmentation"> {
  /** The model's own. @default none, for a model that reads no text */
  tokenizer?: Tokenizer | undefined;
  /** Rows at a time. @default 8 */
  batchSize?: number | undefined;
  /** A loss, or the name of one that is registered. @default the task's own */
  loss?: Loss | string | undefined;
  /**
   * Let models for CAUSAL_LM and SEQ_2_SEQ_LM answer, for accuracy, exactMatch and f1. A number: that many
   * rows.
   * @default true
   */
  generate?: boolean | number | undefined;
  /** How they answer. @default greedy, a little longer than the longest target */
  generation?: GenerationConfig | undefined;
  /** Figures of your own from the predictions, beside the task's. @default none */
  metrics?: CustomMetrics | undefined;
  /** Throws "aborted" at the next batch. */
  signal?: AbortSignal | undefined;
  /** Gets what `generation` says in vain, such as a temperature without sampling. @default console.warn */
  warn?: ((message: Words) => void) | undefined;
  /** Hears how far it has come: before the first batch and after each. */
  progress?: ((progress: EvaluationProgress) => void) | undefined;
}

const encodeNames: NamesOf<Pick<EvaluateOptions, EncodeKey>> = {
  tokenizer: { python: "processing_class" },
  maxLength: { also: ["max_seq_length"] },
  maxTargetLength: {},
  labels: { also: ["label_names"] },
  emptyLabels: {},
  truncationSide: {},
};
type EncodeKey = "tokenizer" | "maxLength" | "maxTargetLength" | "labels" | "emptyLabels" | "truncationSide";

const { augmentation: _, ...mediaOptionNames } = mediaNames;
const evaluateNames: NamesOf<EvaluateOptions> = {
  ...encodeNames,
  ...mediaOptionNames,
  batchSize: { python: "per_device_eval_batch_size", also: ["batch"] },
  loss: {},
  generate: { python: "predict_with_generate" },
  generation: { python: "generation_config" },
  metrics: { python: "compute_metrics" },
  signal: {},
  warn: {},
  progress: {},
};

/** How good a model is on rows. */
export interface Evaluation {
  /** Mean over all that is labelled: tokens, or rows; NaN where the task has no loss. */
  readonly loss: number;
  /** What it was divided by. */
  readonly count: number;
  readonly rows: number;
  /** accuracy, f1, exactMatch, meanSquaredError, pearson, spearman: those that the task has. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Class by class, where the task tells classes. */
  readonly classes?: ClassReport;
  readonly predictions: readonly Prediction[];
}

/**
 * Loss, metrics and predictions on rows, without dropout; a stream is read into memory, as its predictions
 * are.
 * @throws "data" as `encodeRows` does, "generation", "option", "aborted"
 * @example
 * ```ts
 * import { evaluate, loadDataset } from "peft.js";
 *
 * const test = await loadDataset("test.csv", { template: "Tweet text : {text} Label : ", target: "{label}"
 * }); const { loss, metrics } = await evaluate(model, test, { tokenizer });
 * console.log(loss, metrics["accuracy"]);
 * ```
 */
export async function evaluate<T extends TaskType>(
  model: TrainableModel<T>,
  given: readonly Row[] | RowStream,
  options: EvaluateOptions,
): Promise<Evaluation> {
  refuseUnknown("evaluate", options, evaluateNames);
  expectModel("evaluate", model);
  const rows = await rowsOf(given);
  expectRows("evaluate", rows);
  const plain = model as unknown as TrainableModel;
  const samples = encodeFor(plain, rows, options);
  return evaluateSamples(plain, rows, samples.samples, options);
}

/** Rows as samples of the model's task, no longer than it has positions. */
export function encodeFor(
  model: TrainableModel,
  rows: readonly Row[],
  options: Pick<EvaluateOptions, EncodeKey | "processor"> & Pick<EncodeRowsOptions<TaskType>, "packing">,
): ReturnType<typeof encodeRows<TaskType>> {
  const { vocabSize, numLabels } = model.config;
  const { tokenizer = noTokenizer } = options;
  const ofVectors = model.config.pooling?.maxLength ?? Number.POSITIVE_INFINITY;
  const { maxLength = Math.min(tokenizer.modelMaxLength ?? Infinity, model.maxPositions, ofVectors) } =
    options;
  const picked = pickOptions(options, { ...encodeNames, packing: {} });
  const encoded = encodeRows(rows, {
    ...picked,
    tokenizer,
    maxLength,
    task: model.taskType,
    vocabSize,
    numLabels,
  });
  expectProcessor(encoded.samples, options);
  return encoded;
}

export async function evaluateSamples(
  model: TrainableModel,
  rows: readonly Row[],
  samples: readonly Sample[],
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { tokenizer = noTokenizer, batchSize = 8, generate = true, signal, progress } = options;
  const scores = scoresOf(model, rows);
  const padding = { padTokenId: padTokenOf(tokenizer), paddingSide: tokenizer.paddingSide };
  const order = { batchSize, shuffle: false, groupByLength: true };
  const scored: Scored[] = [];
  if (samples.length > 0) await planEvaluation(model, scores, samples, { ...options, batchSize });
  const media = new MediaBatches(pickOptions(options, mediaOptionNames));
  let [sum, count, done] = [0, 0, 0];
  const total = samples.length;
  progress?.({ type: "progress", what: "evaluation", done, total });
  for await (const batch of batchesOf(samples, { ...padding, ...order }, media)) {
    if (signal?.aborted) throw aborted();
    const result = await evaluateBatch(model, scores, batch, options);
    sum += result.loss * result.count;
    count += result.count;
    scored.push(...result.scored);
    done += batch.rows.length;
    progress?.({ type: "progress", what: "evaluation", done, total });
  }
  const loss = sum / count;
  const withOwn = async (
    metrics: Readonly<Record<string, number>>,
    predictions: readonly Prediction[],
  ): Promise<Record<string, number>> =>
    finite({ ...metrics, ...(options.metrics && (await measureBy(options.metrics, predictions))) });
  if (scores.from === "logits") {
    const ids = new Map(samples.map((sample) => [sample.row, sample.inputIds]));
    const predictions = scored.map((s) =>
      inWords(model, scores, at(rows, s.row), s, entry(ids, s.row), options),
    );
    const metrics = await withOwn(scores.measure(scored, predictions), predictions);
    const names = options.labels ?? labelNames(rows);
    const nameOf = (id: number): string => names[id] ?? labelOf(model, id);
    const classes = scored.length === 0 ? undefined : scores.classes?.(scored, nameOf);
    return { loss, count, rows: total, metrics, ...(classes && { classes }), predictions };
  }
  const few = (some: readonly Sample[]): readonly Sample[] =>
    generate === false ? [] : some.slice(0, generate === true ? undefined : generate);
  const spoken = few(samples.filter(isSpoken)).filter(isSpoken);
  const asking = { ...options, tokenizer: expectTokenizer(options), batchSize };
  const answers =
    spoken.length > 0
      ? await spokenAnswers(model, spoken, media, asking)
      : await answersOf(model, few(answerable(samples)), asking);
  const predictions = answers.map((answer) => {
    const row = at(rows, answer.row);
    if (row.kind === "prompt") return { ...answer, prompt: row.prompt }; // decoding may lose spaces
    return row.kind === "chat" ? { ...answer, turns: turnsOf(row) } : answer;
  });
  const metrics = await withOwn(scores.measure([], predictions), predictions);
  return { loss, count, rows: total, metrics, predictions };
}

/** The tokenizer of a model that answers in text. Throws "option" where there is none. */
function expectTokenizer({ tokenizer }: EvaluateOptions): Tokenizer {
  return tokenizer ?? refuseText();
}

/** Plans the memory of the largest batch. A custom loss may read all logits. */
async function planEvaluation(
  model: TrainableModel,
  scores: Scores,
  samples: readonly Sample[],
  {
    batchSize,
    loss,
    processor,
  }: { readonly batchSize: number } & Pick<EvaluateOptions, "loss" | "processor">,
): Promise<void> {
  const isLossAlone = scores.from === "text" && loss === undefined;
  await model.planMemory(sizesOf(samples, batchSize, processor), isLossAlone ? "loss" : "forward");
}

interface BatchResult {
  readonly loss: number;
  readonly count: number;
  readonly scored: readonly Scored[];
}

/**
 * Where answers are texts the loss alone is computed: logits over a vocabulary would be large, and nobody
 * reads them.
 */
async function evaluateBatch(
  model: TrainableModel,
  scores: Scores,
  batch: Batch,
  options: EvaluateOptions,
): Promise<BatchResult> {
  const pass = options.loss === undefined ? {} : { loss: options.loss };
  if (scores.from === "text") return { ...(await model.lossOf(batch, pass)), scored: [] };
  const { loss = 0, count = 0, logits } = await model.forward(batch, pass);
  return { loss, count, scored: scores.read(batch, logits) };
}

/** What a prediction means: names of classes, numbers, or the words of a span. */
function inWords(
  model: TrainableModel,
  scores: Scores,
  row: Row,
  { row: place, predicted, actual }: Scored,
  ids: Int32Array,
  options: EvaluateOptions,
): Prediction {
  const { tokenizer = noTokenizer, labels } = options;
  const names = labels ?? labelNames([row]);
  const vocabulary: Vocabulary = {
    nameOf: (id) => names[id] ?? labelOf(model, id),
    textOf: (first, last) =>
      tokenizer.decode([...ids.subarray(first, last + 1)], { skipSpecialTokens: true }).trim(),
    lettersOf: (ids) => tokenizer.decode([...ids], { groupTokens: false }),
  };
  const [output, expected] = [predicted, actual].map((values) => scores.words(values, vocabulary));
  return { row: place, prompt: promptOf(row), output: output ?? "", expected: expected ?? "" };
}

/** What a chat says before the assistant's last turn, which is what is asked for. */
function turnsOf({ messages }: ChatRow): NonNullable<SampleEvent["turns"]> {
  const last = messages.findLastIndex(({ role }) => role === "assistant");
  return messages.slice(0, last < 0 ? undefined : last).map(({ role, content }) => ({
    role: `${role}`,
    content: typeof content === "string" ? content : JSON.stringify(content),
  }));
}

function labelOf(model: TrainableModel, id: number): string {
  const names = model.base.configJson["id2label"];
  return model.classNames?.[id] ?? String((isRecord(names) ? names[id] : undefined) ?? id);
}

const promptOf = (row: Row): string => {
  switch (row.kind) {
    case "prompt":
      return row.prompt;
    case "chat":
      return saidText(row.messages);
    case "text":
      return row.text;
    case "classify":
      return row.pair === undefined ? row.text : `${row.text}\n${row.pair}`;
    case "tokens":
      return row.words.join(" ");
    case "document":
      return row.question === undefined ? row.words.join(" ") : `${row.question}\n${row.words.join(" ")}`;
    case "question":
      return `${row.question}\n${row.context}`;
    case "similarity":
      return row.texts.join("\n");
    case "preference":
    case "judged":
      return saidText(row.prompt);
    case "picture":
    case "speech":
    case "sound":
      return row.at;
  }
};

/** Without correlations of constants, which are no numbers. */
function finite(metrics: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)));
}
