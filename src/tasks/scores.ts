import type { BatchInputs, Floats, Ids, ProblemType } from "../data/batch.js";
import type { ClassReport } from "./class_report.js";

/** Predictions of one row beside its labels: classes, 0 or 1 per label, numbers, or positions of a span. */
export interface Scored {
  readonly row: number;
  readonly predicted: readonly number[];
  readonly actual: readonly number[];
  /** Of a row of texts: the vectors of all of them. */
  readonly vectors?: readonly Float32Array[];
}

/** The same in words. */
export interface InWords {
  readonly output: string;
  readonly expected?: string | undefined;
}

/** The logits of a batch, row-major. */
export interface Logits {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** A batch with the labels that its task has. */
export interface LabelledBatch extends Pick<BatchInputs, "inputIds" | "attentionMask" | "rows" | "columns"> {
  readonly labels?: Ids | Floats;
  readonly startPositions?: Ids;
  readonly endPositions?: Ids;
  /** Which of the batch's texts are a row's. */
  readonly texts?: Ids;
  /** Which of the batch's rows are a pair's better and worse one. */
  readonly pairs?: Ids;
}

/** What says the numbers of a prediction in words. */
export interface Vocabulary {
  /** The name of a class. */
  nameOf(id: number): string;
  /** The text of a row's tokens from the first to the last. */
  textOf(first: number, last: number): string;
  /** The text of letters, each by its id. */
  lettersOf(ids: readonly number[]): string;
}

/** What an evaluation reads off a model, and the metrics that it makes of it. */
export interface Scores {
  /** Its metrics beside the loss, and which way they are better. */
  readonly metrics: Readonly<Record<string, "higher" | "lower">>;
  /** What predictions are: read off a batch's logits, or texts that the model generates. */
  readonly from: "logits" | "text";
  /** What the labels of rows must be for. @default rows say nothing of it */
  readonly problem?: ProblemType;
  /** Predictions of a batch. Rows and tokens without a label are left out. */
  read(batch: LabelledBatch, logits: Logits): Scored[];
  words(values: readonly number[], vocabulary: Vocabulary): string;
  /** The same class by class. @default it tells no classes */
  classes?(scored: readonly Scored[], nameOf: (id: number) => string): ClassReport;
  /** Without predictions there are no metrics. */
  measure(scored: readonly Scored[], texts: readonly InWords[]): Record<string, number>;
}

/** Nothing is predicted: the loss is all. */
export const noScores: Scores = {
  metrics: {},
  from: "logits",
  read: () => [],
  words: () => "",
  measure: () => ({}),
};
