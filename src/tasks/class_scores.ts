import { argmax } from "../argmax.js";
import { reportClasses, reportLabels } from "./class_report.js";
import { accuracy, f1, meanSquaredError, pearson, spearman } from "./metrics.js";
import type { LabelledBatch, Logits, Scored, Scores } from "./scores.js";

const numbersOf = (scored: readonly Scored[], side: "predicted" | "actual"): number[] =>
  scored.flatMap((s) => s[side]);

/** Each row's logits [n] beside its labels. */
function readRows(
  { rows, labels }: LabelledBatch,
  { data, shape }: Logits,
  predict: (logits: Float32Array) => number[],
): Scored[] {
  if (labels === undefined) return [];
  const n = shape.at(-1) ?? 0;
  const width = labels.shape[1];
  return [...rows].map((row, i) => ({
    row,
    predicted: predict(data.subarray(i * n, (i + 1) * n)),
    actual: [...labels.data.subarray(i * width, (i + 1) * width)],
  }));
}

/** One class a row. f1 is the mean over classes. */
export const classScores: Scores = {
  metrics: { accuracy: "higher", f1: "higher" },
  from: "logits",
  problem: "single_label_classification",
  read: (batch, logits) =>
    readRows(batch, logits, (y) => [argmax(y)]).filter(({ actual }) => (actual[0] ?? -1) >= 0),
  words: (values, { nameOf }) => values.map(nameOf).join(" "),
  classes: (scored, nameOf) =>
    reportClasses(numbersOf(scored, "predicted"), numbersOf(scored, "actual"), nameOf),
  measure(scored) {
    const [predicted, actual] = [numbersOf(scored, "predicted"), numbersOf(scored, "actual")];
    if (predicted.length === 0) return {};
    return { accuracy: accuracy(predicted, actual), f1: f1(predicted, actual, { average: "macro" }) };
  },
};

/** One class a token. Virtual tokens stand before the real ones: logits [batch, virtual + seq, n]. */
export const tokenScores: Scores = {
  ...classScores,
  read({ rows, labels, inputIds }, { data, shape }) {
    if (labels === undefined) return [];
    const [, total = 0, n = 0] = shape;
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
  },
};

/** Several labels a row, 0 or 1 each. accuracy counts rows that are right in all, f1 counts labels. */
export const manyLabelScores: Scores = {
  metrics: { accuracy: "higher", f1: "higher" },
  from: "logits",
  problem: "multi_label_classification",
  read: (batch, logits) => readRows(batch, logits, (y) => [...y].map((score) => (score > 0 ? 1 : 0))),
  words: (values, { nameOf }) => values.flatMap((value, id) => (value > 0 ? [nameOf(id)] : [])).join(", "),
  classes: (scored, nameOf) =>
    reportLabels(
      scored.map((s) => s.predicted),
      scored.map((s) => s.actual),
      nameOf,
    ),
  measure(scored) {
    const [predicted, actual] = [numbersOf(scored, "predicted"), numbersOf(scored, "actual")];
    if (predicted.length === 0) return {};
    const rows = accuracy(
      scored.map((s) => String(s.predicted)),
      scored.map((s) => String(s.actual)),
    );
    return { accuracy: rows, f1: f1(predicted, actual) };
  },
};

/** Numbers a row. */
export const numberScores: Scores = {
  metrics: { meanSquaredError: "lower", pearson: "higher", spearman: "higher" },
  from: "logits",
  problem: "regression",
  read: (batch, logits) => readRows(batch, logits, (y) => [...y]),
  words: (values) => values.map((x) => String(Number(x.toPrecision(4)))).join(" "),
  measure(scored) {
    const [predicted, actual] = [numbersOf(scored, "predicted"), numbersOf(scored, "actual")];
    if (predicted.length === 0) return {};
    return {
      meanSquaredError: meanSquaredError(predicted, actual),
      pearson: pearson(predicted, actual),
      spearman: spearman(predicted, actual),
    };
  },
};
