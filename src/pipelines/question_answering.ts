import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { predictSpansOf } from "../tasks/predict_spans.js";
import type { SpanAnswer } from "../tasks/prediction.js";
import type { Encoding } from "../tokenizers/encode.js";
import { option, words } from "../words.js";
import type { Opened, Part, PipelineDefinition } from "./definition.js";
import { partOf } from "./encode.js";
import { forwardParts, type PartLogits, saidOf } from "./forward.js";

/** A question about a text. */
export interface QuestionInput {
  readonly question: string;
  readonly context: string;
}

/** How answers are looked for. */
export interface QuestionAnsweringOptions {
  /** How many answers, the likeliest first. @default 1 */
  readonly topK?: number | undefined;
  /** Tokens that an answer has at most. @default 15 */
  readonly maxAnswerLen?: number | undefined;
  /** There may be no answer: "" then. @default false */
  readonly handleImpossibleAnswer?: boolean | undefined;
  /**
   * Tokens of question and context together; a longer context is read in windows.
   * @default 384, or what the model reads
   */
  readonly maxSeqLen?: number | undefined;
  /** Tokens that two windows share. @default 128, or half a window */
  readonly docStride?: number | undefined;
}

/** Tokens of a window where nothing is said. */
const LENGTH = 384;
const STRIDE = 128;

/**
 * The parts of a context that answer a question. Reference: transformers/pipelines/question_answering.py of
 * transformers 4
 */
export const questionAnswering: PipelineDefinition<
  QuestionInput,
  SpanAnswer[],
  QuestionAnsweringOptions,
  PartLogits
> = {
  names: ["question-answering"],
  task: "QUESTION_ANS",
  options: { topK: {}, maxAnswerLen: {}, handleImpossibleAnswer: {}, maxSeqLen: {}, docStride: {} },
  wants: "{ question, context }",
  isInput(value): value is QuestionInput {
    const { question, context } = Object(value);
    return typeof question === "string" && typeof context === "string";
  },
  parts: windowsOf,
  compute: forwardParts,
  output(opened, parts, logits, { topK, maxAnswerLen: maxAnswerTokens, handleImpossibleAnswer: noAnswer }) {
    const windows = parts.map((part, i) => saidOf(opened, part, at(logits, i)));
    const found = predictSpansOf(windows, { topK, maxAnswerTokens, noAnswer });
    return found.kind === "spans" ? [...found.answers] : [];
  },
  window: 32,
};

/** The question beside each window of the context. */
function windowsOf(
  { question, context }: QuestionInput,
  { tokenizer, maxLength }: Opened,
  {
    maxSeqLen = Math.min(maxLength, LENGTH),
    docStride = Math.min(Math.floor(maxSeqLen / 2), STRIDE),
  }: QuestionAnsweringOptions,
): Part[] {
  const encoding = tokenizer(question, { textPair: context, returnOffsets: true, returnWordIds: true });
  const sequences = at(encoding.sequenceIds ?? [], 0);
  const first = sequences.indexOf(1);
  const end = sequences.lastIndexOf(1) + 1;
  if (first < 0) return [wholeWords(encoding, context, partOf(encoding, context, tokenizer))];
  const size = maxSeqLen - (sequences.length - (end - first));
  if (size <= docStride && end - first > size) throw noRoom(maxSeqLen, docStride, size);
  const parts: Part[] = [];
  for (let start = first; ; start += size - docStride) {
    const stop = Math.min(end, start + size);
    const window = cut(encoding, (i) => i < first || i >= end || (i >= start && i < stop));
    parts.push(wholeWords(window, context, partOf(window, context, tokenizer)));
    if (stop === end) return parts;
  }
}

/** The tokens of an encoding's one row that are kept. */
function cut(encoding: Encoding, keeps: (i: number) => boolean): Encoding {
  const kept = <T>(rows: T[][] | undefined): T[][] =>
    rows?.map((row) => row.filter((_, i) => keeps(i))) ?? [];
  const { inputIds, attentionMask, tokenTypeIds, offsets, sequenceIds, wordIds, truncated } = encoding;
  return {
    ...{ truncated, inputIds: kept(inputIds), attentionMask: kept(attentionMask), offsets: kept(offsets) },
    ...{ sequenceIds: kept(sequenceIds), wordIds: kept(wordIds) },
    ...(tokenTypeIds === undefined ? {} : { tokenTypeIds: kept(tokenTypeIds) }),
  };
}

/** Answers begin and end with whole words: each token of the context stands where its word does. */
function wholeWords({ sequenceIds, wordIds }: Encoding, text: string, part: Part): Part {
  const [sequences = [], ids = []] = [sequenceIds?.[0], wordIds?.[0]];
  const spans = new Map<number, { start: number; end: number }>();
  for (const [i, { start, end }] of part.tokens.entries()) {
    const id = ids[i];
    if (sequences[i] !== 1 || id === undefined) continue;
    const span = spans.get(id);
    spans.set(id, { start: Math.min(start, span?.start ?? start), end: Math.max(end, span?.end ?? end) });
  }
  const tokens = part.tokens.map((token, i) => ({
    ...token,
    ...(sequences[i] === 1 ? spans.get(ids[i] ?? -1) : {}),
    isContext: sequences[i] === 1,
  }));
  return { ...part, text, tokens };
}

function noRoom(maxSeqLen: number, docStride: number, size: number): PeftError {
  return new PeftError("option", {
    what: words`Of ${option("maxSeqLen", maxSeqLen)} tokens the question leaves ${Math.max(0, size)} to its context.`,
    why: words`windows share ${option("docStride", docStride)} tokens, and each must have more than these.`,
    fix: words`shorten the question, raise ${option("maxSeqLen")} or lower ${option("docStride")}.`,
  });
}
