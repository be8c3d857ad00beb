import { at } from "../../present.js";
import { documentTokens } from "../document_tokens.js";
import { column } from "../padding.js";
import { runs } from "../pieces.js";
import type { DocumentRow, QuestionRow } from "../row.js";
import { type DataTask, documentInputs, type EncodeContext, type Encoded, inputsOf } from "./task.js";

/**
 * Question and context as a pair; the answer's first and last token are learnt. Where the pair is too long
 * the context loses its end. A context without an answer points at position 0, as SQuAD 2 does.
 */
export const questionAns: DataTask<"QUESTION_ANS"> = {
  name: "QUESTION_ANS",
  accepts: ["question", "document"],
  tables: ["document", "question"],
  encode(row, context) {
    if (row.kind === "document") return encodeDocument(row, context);
    if (row.kind !== "question") return `a row of kind "${row.kind}"`;
    const pair = encodePair(row, context);
    return typeof pair === "string" ? pair : place(row, pair);
  },
  collate(samples, { inputIds, lengths }, { paddingSide }) {
    const shift = (row: number): number =>
      paddingSide === "left" ? inputIds.shape[1] - at(lengths, row) : 0;
    return {
      startPositions: column(samples.map((sample, row) => sample.start + shift(row))),
      endPositions: column(samples.map((sample, row) => sample.end + shift(row))),
    };
  },
  preview: ({ inputIds, start, end }, { tokenizer }) =>
    runs(inputIds, (i) => i >= start && i <= end, tokenizer),
};

interface Pair {
  ids: number[];
  types: number[] | undefined;
  /** Where the context begins, and the offsets of its tokens that are left. */
  begin: number;
  offsets: readonly (readonly [number, number])[];
  truncated: boolean;
}

function place(row: QuestionRow, pair: Pair): Encoded<"QUESTION_ANS"> {
  const inputs = inputsOf(pair.ids, pair.types);
  const { truncated, offsets, begin } = pair;
  const { answer } = row;
  if (answer === undefined) {
    return { fields: { ...inputs, start: 0, end: 0 }, truncated, labelsCut: false, learnt: 1 };
  }
  const first = offsets.findIndex(([, end]) => end > answer.start);
  const last = offsets.findLastIndex(([start]) => start < answer.end);
  const whole = last >= 0 && at(offsets, last)[1] >= answer.end;
  if (first < 0 || !whole) {
    return { fields: { ...inputs, start: 0, end: 0 }, truncated, labelsCut: true, learnt: 0 };
  }
  return {
    fields: { ...inputs, start: begin + first, end: begin + last },
    truncated,
    labelsCut: false,
    learnt: 1,
  };
}

/** The pair with its special tokens, and where in it the context's own tokens stand. */
function encodePair(
  { question, context }: QuestionRow,
  { tokenizer, maxLength }: EncodeContext,
): Pair | string {
  const alone = tokenizer(context, { addSpecialTokens: false, returnOffsets: true });
  const contextIds = at(alone.inputIds, 0);
  const offsets = alone.offsets?.[0];
  if (offsets === undefined)
    return "an answer in a context, but the tokenizer gives no offsets to find it by";
  const questionLength = at(tokenizer(question, { addSpecialTokens: false }).inputIds, 0).length;
  const whole = tokenizer(question, { textPair: context });
  const ids = [...at(whole.inputIds, 0)];
  const types = whole.tokenTypeIds && [...at(whole.tokenTypeIds, 0)];
  const begin = findRun(ids, contextIds, questionLength);
  if (begin < 0) return "a context that the tokenizer writes otherwise beside a question than alone";
  const excess = Math.max(0, ids.length - maxLength);
  const kept = contextIds.length - excess;
  if (kept <= 0) return `a question that leaves no room for the context in ${maxLength} tokens`;
  ids.splice(begin + kept, excess);
  types?.splice(begin + kept, excess);
  return { ids, types, begin, offsets: offsets.slice(0, kept), truncated: excess > 0 };
}

/** A question about a page; its answer may lie in words that did not fit. */
function encodeDocument(
  row: DocumentRow,
  { tokenizer, maxLength }: EncodeContext,
): Encoded<"QUESTION_ANS"> | string {
  if (row.question === undefined) return "a document without a question";
  const tokens = documentTokens(row, tokenizer, maxLength);
  const { answer } = row;
  const [start, end] =
    answer === undefined
      ? [0, 0]
      : [tokens.words.indexOf(answer.first), tokens.words.lastIndexOf(answer.last)];
  const isThere = start >= 0 && end >= 0;
  return {
    fields: { ...documentInputs(tokens, row), start: isThere ? start : 0, end: isThere ? end : 0 },
    truncated: tokens.truncated,
    labelsCut: !isThere,
    learnt: isThere ? 1 : 0,
  };
}

function findRun(ids: readonly number[], run: readonly number[], from: number): number {
  for (let i = from; i + run.length <= ids.length; i++) {
    if (run.every((id, k) => ids[i + k] === id)) return i;
  }
  return -1;
}
