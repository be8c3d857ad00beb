import type { BatchColumn } from "../data/batch.js";
import { at } from "../present.js";
import type { TextBatch } from "../trace/feeds.js";

/** An answer with what it is learnt by. */
export interface ScoredAnswer {
  /** The number of its prompt in the step. */
  readonly prompt: number;
  readonly promptIds: readonly number[];
  readonly ids: readonly number[];
  /** log p of each token when it was sampled. */
  readonly logProbs: readonly number[];
  readonly advantage: number;
  /** Whether its tokens count. */
  readonly counts: boolean;
}

/** Numbers of tokens, laid out as a batch has labels. */
export type Laid = (values: (answer: ScoredAnswer, row: number) => readonly number[]) => BatchColumn;

/** Answers behind their prompts, padded on the right; labels are the answers' tokens that count. */
export function batchOfAnswers(
  answers: readonly ScoredAnswer[],
  first: number,
  pad: number,
): { readonly batch: TextBatch<"CAUSAL_LM">; readonly laid: Laid } {
  const width = Math.max(...answers.map(({ promptIds, ids }) => promptIds.length + ids.length));
  const shape: [number, number] = [answers.length, width];
  // a batch without any label cannot be run: one answer then counts, with an advantage of 0
  const none = answers.every(({ counts }) => !counts);
  const row = (
    fill: number,
    values: (answer: ScoredAnswer, row: number) => readonly number[],
  ): Int32Array => {
    const data = new Int32Array(answers.length * width).fill(fill);
    for (const [i, answer] of answers.entries()) data.set(values(answer, i), i * width);
    return data;
  };
  const before = (answer: ScoredAnswer, fill: number): number[] => answer.promptIds.map(() => fill);
  const labels = row(-100, (answer, i) =>
    answer.counts || (none && i === 0) ? [...before(answer, -100), ...answer.ids] : [],
  );
  const laid: Laid = (values) => {
    const data = new Float32Array(answers.length * width);
    for (const [i, answer] of answers.entries())
      data.set(values(answer, i), i * width + answer.promptIds.length);
    return { data, shape };
  };
  const batch: TextBatch<"CAUSAL_LM"> = {
    task: "CAUSAL_LM",
    inputIds: { data: row(pad, ({ promptIds, ids }) => [...promptIds, ...ids]), shape },
    attentionMask: { data: row(0, ({ promptIds, ids }) => [...promptIds, ...ids].map(() => 1)), shape },
    labels: { data: labels, shape },
    rows: Int32Array.from(answers, (_, i) => first + i),
  };
  return { batch, laid };
}

/** One number for each answer. */
export function perAnswer(
  answers: readonly ScoredAnswer[],
  of: (answer: ScoredAnswer) => number,
): BatchColumn {
  return { data: Float32Array.from(answers, of), shape: [answers.length] };
}

/** Tokens that count. */
export function countedTokens(answers: readonly ScoredAnswer[]): number {
  return answers.reduce((n, { counts, ids }) => n + (counts ? ids.length : 0), 0);
}

/** Sums of a laid out column's rows. */
export function sumsOf({ data }: { readonly data: ArrayLike<number> }, rows: number): number[] {
  const width = data.length / rows;
  return Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += at(data as Float32Array, i);
    return sum;
  });
}
