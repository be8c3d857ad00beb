import { seqCls as data } from "../data/tasks/seq_cls.js";
import { classes } from "../losses/classes.js";
import { multiLabel } from "../losses/multi_label.js";
import { regression } from "../losses/regression.js";
import { reward } from "../losses/reward.js";
import { classScores, manyLabelScores, numberScores } from "./class_scores.js";
import { EVERY_TOKEN, rowLabels, rowLabelsOfTokens } from "./head.js";
import { pairScores } from "./pair_scores.js";
import { predictLabels } from "./predict_labels.js";
import { problemOf } from "./problem.js";
import type { Task } from "./task.js";

const scores = {
  regression: numberScores,
  multi_label_classification: manyLabelScores,
  single_label_classification: classScores,
} as const;

/** A label, several, or a number for each text or pair of texts. */
export const seqCls: Task<"SEQ_CLS"> = {
  ...data,
  title: "text classification",
  classEnds: ["ForSequenceClassification"],
  impliedBy: ["classify"],
  labels: "row",
  head: rowLabels,
  heads: { [EVERY_TOKEN]: rowLabelsOfTokens },
  labelForm(config) {
    const problem = problemOf(config);
    if (problem === undefined) return undefined;
    return problem === "single_label_classification" ? "ids" : "floats";
  },
  loss(config, labels) {
    const byForm = labels === "floats" ? "multi_label_classification" : "single_label_classification";
    const problem = problemOf(config) ?? byForm;
    if (problem === "regression") return regression;
    return problem === "multi_label_classification" ? multiLabel : classes;
  },
  pairs: { loss: reward, scores: pairScores },
  scores: (config, problem) => scores[problemOf(config) ?? problem ?? "single_label_classification"],
  predict: predictLabels,
  packs: true,
  generates: false,
};
