import type { Batch, TaskType } from "../data/batch.js";
import type { Row } from "../data/row.js";
import { tasks } from "../tasks/index.js";
import type { ModelProblem, ScoreKind } from "../tasks/task.js";
import { accuracy, exactMatch, f1, meanSquaredError, pearson, spearman, tokenF1 } from "./metrics.js";

/** Predictions of one row beside its labels: classes, 0 or 1 per label, numbers, or positions of a span. */
export interface Scored {
  readonly row: number;
  readonly predicted: readonly number[];
  readonly actual: readonly number[];
}

interface Logits {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface ScoredTask {
  readonly taskType: TaskType;
  readonly config: ModelProblem;
}

/** Where the config does not say what a classification head is for, the rows' labels do, as they choose its loss. */
export function scoreKind({ taskType, config }: ScoredTask, rows: readonly Row[] = []): ScoreKind {
  const row = rows.find((r) => r.kind === "classify");
  const isMany = row?.problemType === "multi_label_classification";
  return tasks[taskType].scores(config, isMany ? row.problemType : undefined);
}

/** The metrics of each kind, besides the loss. Those of `lowerIsBetter` count down. */
export const metricNames: { readonly [K in ScoreKind]: readonly string[] } = {
  classes: ["accuracy", "f1"],
  manyLabels: ["accuracy", "f1"],
  numbers: ["meanSquaredError", "pearson", "spearman"],
  spans: ["accuracy", "exactMatch", "f1"],
  answers: ["accuracy", "exactMatch", "f1"],
  none: [],
};

export const lowerIsBetter: ReadonlySet<string> = new Set(["loss", "meanSquaredError"]);

/** Reads a batch's predictions off its logits. Rows and tokens without a label are left out. */
export function readScores(kind: ScoreKind, batch: Batch, logits: Logits): Scored[] {
  if (batch.task === "SEQ_CLS") return readRows(kind, batch, logits);
  if (batch.task === "TOKEN_CLS") return readTokens(batch, logits);
  return batch.task === "QUESTION_ANS" ? readSpans(batch, logits) : [];
}

function readRows(kind: ScoreKind, { rows, labels }: Batch<"SEQ_CLS">, { data, shape }: Logits): Scored[] {
  const n = shape.at(-1)!;
  return [...rows].flatMap((row, i) => {
    const logits = data.subarray(i * n, (i + 1) * n);
    const width = labels.shape[1];
    const actual = [...labels.data.subarray(i * width, (i + 1) * width)];
    if (kind === "numbers") return [{ row, predicted: [...logits], actual }];
    if (kind === "manyLabels") return [{ row, predicted: [...logits].map((y) => (y > 0 ? 1 : 0)), actual }];
    return actual[0]! < 0 ? [] : [{ row, predicted: [argmax(logits)], actual }];
  });
}

/** Virtual tokens stand before the real ones: logits [batch, virtual + seq, n]. */
function readTokens({ rows, labels, inputIds }: Batch<"TOKEN_CLS">, { data, shape }: Logits): Scored[] {
  const [, total, n] = shape as [number, number, number];
  const seq = inputIds.shape[1];
  return [...rows].map((row, i) => {
    const places = Array.from({ length: seq }, (_, j) => j).filter((j) => labels.data[i * seq + j]! >= 0);
    const at = (j: number): number => (i * total + total - seq + j) * n;
    return {
      row,
      predicted: places.map((j) => argmax(data.subarray(at(j), at(j) + n))),
      actual: places.map((j) => labels.data[i * seq + j]!),
    };
  });
}

const longestAnswer = 30;

/**
 * The likeliest span of real tokens, as places in the sample without its padding. With virtual tokens labels
 * are not shifted (as Python has it), so neither is this.
 */
function readSpans(batch: Batch<"QUESTION_ANS">, { data, shape }: Logits): Scored[] {
  const total = shape[1]!;
  const seq = batch.inputIds.shape[1];
  return [...batch.rows].map((row, i) => {
    const y = (j: number, side: 0 | 1): number => data[(i * total + j) * 2 + side]!;
    let best = Number.NEGATIVE_INFINITY;
    let predicted: [number, number] = [0, 0];
    for (let start = 0; start < seq; start++) {
      if (batch.attentionMask.data[i * seq + start] !== 1) continue;
      for (let end = start; end < Math.min(seq, start + longestAnswer); end++) {
        if (batch.attentionMask.data[i * seq + end] !== 1) break;
        const score = y(start, 0) + y(end, 1);
        if (score > best) [best, predicted] = [score, [start, end]];
      }
    }
    const actual = [batch.startPositions.data[i]!, batch.endPositions.data[i]!];
    const padding = batch.attentionMask.data.subarray(i * seq, (i + 1) * seq).indexOf(1);
    const unpadded = (places: readonly number[]): number[] => places.map((place) => place - padding);
    return { row, predicted: unpadded(predicted), actual: unpadded(actual) };
  });
}

function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/**
 * Classes: f1 is the mean over classes. Many labels: accuracy counts rows that are right in all, f1 counts
 * labels.
 */
export function scoreMetrics(kind: ScoreKind, scored: readonly Scored[]): Record<string, number> {
  const predicted = scored.flatMap((s) => s.predicted);
  const actual = scored.flatMap((s) => s.actual);
  if (predicted.length === 0) return {};
  if (kind === "classes")
    return { accuracy: accuracy(predicted, actual), f1: f1(predicted, actual, { average: "macro" }) };
  if (kind === "manyLabels") {
    const rows = accuracy(
      scored.map((s) => String(s.predicted)),
      scored.map((s) => String(s.actual)),
    );
    return { accuracy: rows, f1: f1(predicted, actual) };
  }
  if (kind !== "numbers") return {};
  return {
    meanSquaredError: meanSquaredError(predicted, actual),
    pearson: pearson(predicted, actual),
    spearman: spearman(predicted, actual),
  };
}

/**
 * Texts: accuracy is plain equality; exactMatch and f1 are SQuAD's, without case, punctuation and articles.
 */
export function textMetrics(
  texts: readonly { readonly output: string; readonly expected?: string | undefined }[],
): Record<string, number> {
  const outputs = texts.map(({ output }) => output);
  const expected = texts.map((text) => text.expected ?? "");
  if (texts.length === 0) return {};
  return {
    accuracy: accuracy(outputs, expected),
    exactMatch: exactMatch(outputs, expected, { normalize: true }),
    f1: tokenF1(outputs, expected),
  };
}
