import { classes } from "../losses/classes.js";
import type { Loss } from "../losses/loss.js";
import { multiLabel } from "../losses/multi_label.js";
import { regression } from "../losses/regression.js";
import { spans } from "../losses/spans.js";
import { tokens } from "../losses/tokens.js";
import type { ModelConfig } from "../models/model.js";
import type { TaskType } from "../task.js";
import { problemOf, type Task } from "./task.js";

/** A sequence classifier's loss, by what it learns. */
function problemLoss(config: ModelConfig, labels: "ids" | "floats"): Loss {
  const byForm = labels === "floats" ? "multi_label_classification" : "single_label_classification";
  const problem = problemOf(config) ?? byForm;
  if (problem === "regression") return regression(config.numLabels);
  return problem === "multi_label_classification" ? multiLabel(config.numLabels) : classes;
}

const problemScores: Task["scores"] = (config, problem) =>
  (
    ({
      regression: "numbers",
      multi_label_classification: "manyLabels",
      single_label_classification: "classes",
    }) as const
  )[problemOf(config) ?? problem ?? "single_label_classification"];

/** Every task, one row each. */
export const tasks: { readonly [K in TaskType]: Task } = {
  SEQ_2_SEQ_LM: {
    classEnds: ["ForConditionalGeneration", "ForSeq2SeqLM"],
    labels: "target",
    head: "vocabulary",
    headModules: [],
    loss: () => tokens,
    scores: () => "answers",
    packs: true,
    generates: true,
  },
  CAUSAL_LM: {
    classEnds: ["ForCausalLM", "LMHeadModel"],
    labels: "next token",
    head: "vocabulary",
    headModules: [],
    loss: () => tokens,
    scores: () => "answers",
    packs: true,
    generates: true,
  },
  SEQ_CLS: {
    classEnds: ["ForSequenceClassification"],
    labels: "row",
    head: "labels",
    headModules: ["classifier", "score"],
    loss: problemLoss,
    scores: problemScores,
    packs: true,
    generates: false,
  },
  TOKEN_CLS: {
    classEnds: ["ForTokenClassification"],
    labels: "token",
    head: "labels",
    headModules: ["classifier", "score"],
    loss: () => tokens,
    scores: () => "classes",
    packs: true,
    generates: false,
  },
  QUESTION_ANS: {
    classEnds: ["ForQuestionAnswering"],
    labels: "span",
    head: "ends",
    headModules: ["qa_outputs"],
    loss: () => spans,
    scores: () => "spans",
    packs: false,
    generates: false,
  },
  FEATURE_EXTRACTION: {
    classEnds: ["Model"],
    labels: "none",
    head: "none",
    headModules: [],
    loss: () => undefined,
    scores: () => "none",
    packs: false,
    generates: false,
  },
};

export function isTaskType(name: unknown): name is TaskType {
  return typeof name === "string" && Object.hasOwn(tasks, name);
}

/** The task that one of transformers' classes is for; undefined: a bare model, or another class. */
export function taskOfClass(name: string): TaskType | undefined {
  const types = Object.keys(tasks) as TaskType[];
  return types.find(
    (type) => tasks[type].head !== "none" && tasks[type].classEnds.some((end) => name.endsWith(end)),
  );
}
