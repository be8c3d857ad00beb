import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { ModelConfig, TaskType } from "../models/model.js";

/**
 * A column of the batch that a loss reads. `shape`: of numbers and names, where "batch" are the batch's rows, "seq" its tokens and
 * "target" those of a decoder. `per` "label": one number for each label, as [batch, labels] in the batch; the loss sees those of the
 * labelled tokens, [chunks, chunk], zeros (labels: -100) where a chunk is not full.
 */
export type LossColumn =
  | { readonly dtype: "f32" | "i64"; readonly shape: readonly (number | string)[] }
  | { readonly dtype: "f32" | "i64"; readonly per: "label" };

/** What a loss function sees. */
export interface LossContext {
  readonly g: Graph;
  readonly config: ModelConfig;
  /**
   * All logits (or hidden states, where the task has no head): [batch, total, n] or [batch, n]. At padding (see `mask`) they mean
   * nothing, unless the loss says `padding: true`.
   */
  readonly logits: () => Tensor;
  /** Logits where the model predicts a labelled token, [chunks, chunk, n]: no others are computed. */
  readonly labelled: () => Tensor;
  /** A column that the loss declares. */
  readonly column: (name: string) => Tensor;
  /** 1 at tokens, virtual ones included, 0 at padding: [batch, total], i64 */
  readonly mask: Tensor;
}

/**
 * A loss is a function in the graph: the sum over what it counts, and the number that sum is divided by, so that accumulated
 * batches weigh by what they count. A custom one is written down with each call, and compiled where it writes something new.
 * @example
 * const weighted: Loss = {
 *   name: "weighted",
 *   columns: { labels: { dtype: "i64", per: "label" }, weights: { dtype: "f32", per: "label" } },
 *   write: ({ g, labelled, column }) => ({
 *     sum: g.sum(g.mul(g.crossEntropy(labelled(), column("labels")), column("weights"))),
 *     count: g.sum(column("weights")),
 *   }),
 * };
 * await model.forwardBackward({ ...batch, columns: { weights } }, { loss: weighted });
 */
export interface Loss {
  readonly name: string;
  /** Columns of the batch that it reads, by name: among the batch's `columns`, or its own fields (labels). @default none */
  readonly columns?: Readonly<Record<string, LossColumn>>;
  /** It reads logits at padding. @default false: they are not computed */
  readonly padding?: boolean;
  readonly write: (c: LossContext) => { readonly sum: Tensor; readonly count: Tensor };
}

function countOf(g: Graph, labels: Tensor): Tensor {
  return g.sum(g.cast(g.lessEqual(0, labels), "f32"));
}

/** Cross-entropy over the labelled tokens; the head is computed only there. */
const tokens: Loss = {
  name: "tokens",
  columns: { labels: { dtype: "i64", per: "label" } },
  write: ({ g, labelled, column }) => {
    const labels = column("labels");
    return { sum: g.sum(g.crossEntropy(labelled(), labels)), count: countOf(g, labels) };
  },
};

/** One class a row. */
const classes: Loss = {
  name: "classes",
  columns: { labels: { dtype: "i64", shape: ["batch"] } },
  write: ({ g, logits, column }) => {
    const labels = column("labels");
    return { sum: g.sum(g.crossEntropy(logits(), labels)), count: countOf(g, labels) };
  },
};

/** Mean square error, over all numbers of all rows. */
const regression = (n: number): Loss => ({
  name: "regression",
  columns: { labels: { dtype: "f32", shape: ["batch", n] } },
  write: ({ g, logits, column }) => {
    const y = logits();
    return { sum: g.sum(g.square(g.sub(y, column("labels")))), count: g.size(sizeOf(y)) };
  },
});

/** Binary cross-entropy with logits: max(y, 0) - y t + log(1 + exp(-|y|)). */
const multiLabel = (n: number): Loss => ({
  name: "multiLabel",
  columns: { labels: { dtype: "f32", shape: ["batch", n] } },
  write: ({ g, logits, column }) => {
    const y = logits();
    const softplus = g.log(g.add(g.exp(g.neg(g.abs(y))), 1));
    const losses = g.add(g.sub(g.relu(y), g.mul(y, column("labels"))), softplus);
    return { sum: g.sum(losses), count: g.size(sizeOf(y)) };
  },
});

/** Cross-entropy of the start and of the end over all positions of a row, averaged. */
const spans: Loss = {
  name: "spans",
  columns: {
    startPositions: { dtype: "i64", shape: ["batch"] },
    endPositions: { dtype: "i64", shape: ["batch"] },
  },
  padding: true,
  write: ({ g, logits, column }) => {
    const [starts, ends] = g.split(logits(), -1, [1, 1]) as [Tensor, Tensor];
    const [start, end] = [column("startPositions"), column("endPositions")];
    const sum = g.add(
      g.sum(g.crossEntropy(g.squeeze(starts, -1), start)),
      g.sum(g.crossEntropy(g.squeeze(ends, -1), end)),
    );
    return { sum, count: g.add(countOf(g, start), countOf(g, end)) };
  },
};

function sizeOf(y: Tensor): string {
  const n = y.shape.at(-1)!;
  return n === 1 ? "batch" : `${n}*batch`;
}

/** What a sequence classifier learns, as transformers decides it; undefined: the labels' form says. */
export function problemOf({ problemType, numLabels }: ModelConfig): ModelConfig["problemType"] {
  return problemType ?? (numLabels === 1 ? "regression" : undefined);
}

/** The loss that transformers computes for a task and its labels; undefined: none of its own. */
export function defaultLoss(task: TaskType, config: ModelConfig, labels: "ids" | "floats"): Loss | undefined {
  if (task === "QUESTION_ANS") return spans;
  if (task === "FEATURE_EXTRACTION") return undefined;
  if (task !== "SEQ_CLS") return tokens;
  const byForm = labels === "floats" ? "multi_label_classification" : "single_label_classification";
  const problem = problemOf(config) ?? byForm;
  if (problem === "regression") return regression(config.numLabels);
  return problem === "multi_label_classification" ? multiLabel(config.numLabels) : classes;
}
