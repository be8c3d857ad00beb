import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { ModelConfig, TaskType } from "../models/model.js";

/** What a loss function sees. Inputs it asks for are fed from the batch by name. */
export interface LossContext {
  readonly g: Graph;
  readonly config: ModelConfig;
  /** All logits (or hidden states, where the task has no head): [batch, total, n] or [batch, n]. */
  readonly logits: () => Tensor;
  /** Logits at chosen positions only, [chunks, chunk, n]: `labelPositions` of the flattened [batch * total] rows. */
  readonly logitsAt: (positions: Tensor) => Tensor;
  /** 1 at tokens, virtual ones included, 0 at padding: [batch, total], i64 */
  readonly mask: Tensor;
}

/**
 * A loss is a function in the graph: the sum over what it counts, and the number that sum is divided by, so that accumulated
 * batches weigh by what they count. `name` is part of a compiled graph's key.
 */
export interface Loss {
  readonly name: string;
  readonly write: (c: LossContext) => { readonly sum: Tensor; readonly count: Tensor };
}

function countOf(g: Graph, labels: Tensor): Tensor {
  return g.sum(g.cast(g.lessEqual(0, labels), "f32"));
}

/** Cross-entropy over the labelled tokens; the head is computed only there. */
const tokens: Loss = {
  name: "tokens",
  write: ({ g, logitsAt }) => {
    const labels = g.input("labels", ["chunks", "chunk"], "i64");
    const logits = logitsAt(g.input("labelPositions", ["chunks", "chunk"], "i64"));
    return { sum: g.sum(g.crossEntropy(logits, labels)), count: countOf(g, labels) };
  },
};

/** One class a row. */
const classes: Loss = {
  name: "classes",
  write: ({ g, logits }) => {
    const labels = g.input("labels", ["batch"], "i64");
    return { sum: g.sum(g.crossEntropy(logits(), labels)), count: countOf(g, labels) };
  },
};

/** Mean square error, over all numbers of all rows. */
const regression: Loss = {
  name: "regression",
  write: ({ g, logits }) => {
    const y = logits();
    const labels = g.input("labels", y.shape);
    return { sum: g.sum(g.square(g.sub(y, labels))), count: g.size(sizeOf(y)) };
  },
};

/** Binary cross-entropy with logits: max(y, 0) - y t + log(1 + exp(-|y|)). */
const multiLabel: Loss = {
  name: "multiLabel",
  write: ({ g, logits }) => {
    const y = logits();
    const labels = g.input("labels", y.shape);
    const softplus = g.log(g.add(g.exp(g.neg(g.abs(y))), 1));
    const losses = g.add(g.sub(g.relu(y), g.mul(y, labels)), softplus);
    return { sum: g.sum(losses), count: g.size(sizeOf(y)) };
  },
};

/** Cross-entropy of the start and of the end over all positions of a row, averaged. */
const spans: Loss = {
  name: "spans",
  write: ({ g, logits }) => {
    const [starts, ends] = g.split(logits(), -1, [1, 1]) as [Tensor, Tensor];
    const start = g.input("startPositions", ["batch"], "i64");
    const end = g.input("endPositions", ["batch"], "i64");
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
  if (problem === "regression") return regression;
  return problem === "multi_label_classification" ? multiLabel : classes;
}
