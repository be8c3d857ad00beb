import type { LabelScore, Predicted, PredictOptions, Said } from "./prediction.js";
import { sigmoid, softmax } from "./prediction.js";
import type { ModelProblem } from "./problem.js";

/** One label of several: softmax; several, or a head with one: each by itself; a number stays what it is. */
function scoresFor({ problemType, numLabels }: ModelProblem): NonNullable<PredictOptions["scores"]> {
  if (problemType === "regression") return "none";
  return problemType === "multi_label_classification" || numLabels === 1 ? "sigmoid" : "softmax";
}

const apply = { softmax, sigmoid, none: (y: Float32Array): Float32Array => y } as const;

/**
 * All labels with their scores, the likeliest first. Reference: transformers/pipelines/text_classification.py
 */
export function predictLabels(
  { logits, config, nameOf }: Said,
  { topK = Number.POSITIVE_INFINITY, scores = scoresFor(config) }: PredictOptions = {},
): Predicted {
  const all = [...apply[scores](logits)].map((score, id): LabelScore => ({ label: nameOf(id), score }));
  const labels = all.sort((a, b) => b.score - a.score).slice(0, topK);
  return { kind: "labels", labels };
}
