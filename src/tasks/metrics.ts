import { PeftError } from "../errors.js";
import { at } from "../present.js";

/** A class: its id or its name. */
export type Label = number | string;

export interface F1Options {
  /** "binary" scores one class, "micro" counts over all, "macro" averages classes, "weighted" by size. */
  average?: "binary" | "micro" | "macro" | "weighted";
  /** The class that "binary" scores, 1. */
  positive?: Label;
}

export interface TextOptions {
  /** Compare as SQuAD does: lower case, no punctuation, no articles, single spaces. */
  normalize?: boolean;
}

/** Share of equal pairs. */
export function accuracy(predictions: readonly Label[], labels: readonly Label[]): number {
  checkPairs(predictions, labels);
  return mean(predictions.map((prediction, i) => (prediction === labels[i] ? 1 : 0)));
}

/** Share of texts equal to one of their references. */
export function exactMatch(
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
  { normalize = false }: TextOptions = {},
): number {
  checkPairs(predictions, references);
  const form = normalize ? normalizeAnswer : (text: string): string => text;
  const hits = predictions.map((text, i) =>
    answers(at(references, i)).some((answer) => form(answer) === form(text)),
  );
  return mean(hits.map(Number));
}

/** F1 = 2 tp / (2 tp + fp + fn) of classes; 0 where tp is 0. Reference: sklearn.metrics.f1_score. */
export function f1(
  predictions: readonly Label[],
  labels: readonly Label[],
  { average = "binary", positive = 1 }: F1Options = {},
): number {
  checkPairs(predictions, labels);
  const counts = countClasses(predictions, labels);
  if (average === "binary") return classF1(counts.get(positive) ?? { hits: 0, predicted: 0, actual: 0 });
  const classes = [...counts.values()];
  if (average === "macro") return mean(classes.map(classF1));
  if (average === "weighted") return sum(classes.map((c) => classF1(c) * c.actual)) / labels.length;
  return sum(classes.map(({ hits }) => hits)) / labels.length;
}

/** Mean F1 of the words of answers, the best reference each. Reference: the SQuAD 1.1 evaluation script. */
export function tokenF1(
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
  { normalize = true }: TextOptions = {},
): number {
  checkPairs(predictions, references);
  const words = (text: string): string[] =>
    (normalize ? normalizeAnswer(text) : text).split(/\s+/).filter(Boolean);
  const best = predictions.map((text, i) =>
    Math.max(0, ...answers(at(references, i)).map((answer) => wordF1(words(text), words(answer)))),
  );
  return mean(best);
}

/** Correlation of classes; 0 where a side is constant. Reference: sklearn.metrics.matthews_corrcoef. */
export function matthewsCorrelation(predictions: readonly Label[], labels: readonly Label[]): number {
  checkPairs(predictions, labels);
  const classes = [...countClasses(predictions, labels).values()];
  const n = labels.length;
  const hits = sum(classes.map((c) => c.hits));
  const covariance = hits * n - sum(classes.map((c) => c.predicted * c.actual));
  const predicted = n * n - sum(classes.map((c) => c.predicted ** 2));
  const actual = n * n - sum(classes.map((c) => c.actual ** 2));
  return predicted * actual === 0 ? 0 : covariance / Math.sqrt(predicted * actual);
}

/** Linear correlation; NaN where either side is constant, as scipy says. */
export function pearson(predictions: readonly number[], labels: readonly number[]): number {
  checkPairs(predictions, labels);
  const dx = centred(predictions);
  const dy = centred(labels);
  const product = sum(dx.map((x, i) => x * at(dy, i)));
  return product / Math.sqrt(sum(dx.map((x) => x * x)) * sum(dy.map((y) => y * y)));
}

/** Pearson's correlation of ranks, ties sharing their mean rank. */
export function spearman(predictions: readonly number[], labels: readonly number[]): number {
  checkPairs(predictions, labels);
  return pearson(ranks(predictions), ranks(labels));
}

export function meanSquaredError(predictions: readonly number[], labels: readonly number[]): number {
  checkPairs(predictions, labels);
  return mean(predictions.map((prediction, i) => (prediction - at(labels, i)) ** 2));
}

/** e^loss, of a mean cross-entropy per token in nats. */
export function perplexity(loss: number): number {
  return Math.exp(loss);
}

/** Lower case, without punctuation and the articles a, an, the; single spaces. */
export function normalizeAnswer(text: string): string {
  const plain = text.toLowerCase().replace(/[!-/:-@[-`{-~]/g, "");
  return plain
    .replace(/\b(a|an|the)\b/g, " ")
    .split(/\s+/)
    .filter(Boolean)
    .join(" ");
}

interface ClassCount {
  hits: number;
  predicted: number;
  actual: number;
}

function countClasses(predictions: readonly Label[], labels: readonly Label[]): Map<Label, ClassCount> {
  const counts = new Map<Label, ClassCount>();
  const of = (label: Label): ClassCount => {
    const known = counts.get(label) ?? { hits: 0, predicted: 0, actual: 0 };
    counts.set(label, known);
    return known;
  };
  for (const [i, prediction] of predictions.entries()) {
    of(prediction).predicted += 1;
    of(at(labels, i)).actual += 1;
    if (prediction === labels[i]) of(prediction).hits += 1;
  }
  return counts;
}

function classF1({ hits, predicted, actual }: ClassCount): number {
  return hits === 0 ? 0 : (2 * hits) / (predicted + actual);
}

function wordF1(words: readonly string[], answer: readonly string[]): number {
  if (words.length === 0 || answer.length === 0) return words.length === answer.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const word of answer) left.set(word, (left.get(word) ?? 0) + 1);
  const hits = words.filter((word) => {
    const count = left.get(word) ?? 0;
    left.set(word, count - 1);
    return count > 0;
  }).length;
  return (2 * hits) / (words.length + answer.length);
}

function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => at(values, a) - at(values, b));
  const result = new Array<number>(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[at(order, end)] === values[at(order, start)]) end += 1;
    for (let i = start; i < end; i++) result[at(order, i)] = (start + end + 1) / 2;
  }
  return result;
}

function answers(reference: string | readonly string[]): readonly string[] {
  return typeof reference === "string" ? [reference] : reference;
}

function centred(values: readonly number[]): number[] {
  const middle = mean(values);
  return values.map((value) => value - middle);
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function checkPairs(predictions: readonly unknown[], labels: readonly unknown[]): void {
  if (predictions.length === labels.length && labels.length > 0) return;
  throw new PeftError("data", {
    what: `A metric was given ${predictions.length} predictions and ${labels.length} labels.`,
    why: "it compares them in pairs, and needs at least one.",
    fix: "pass one prediction for every label.",
  });
}
