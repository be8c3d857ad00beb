import type { LabelScore } from "../tasks/prediction.js";
import { problemOf } from "../tasks/problem.js";
import type { PipelineDefinition } from "./definition.js";
import { isTextInput, type TextInput, textPart } from "./encode.js";
import { forwardParts, type PartLogits, predict } from "./forward.js";

/** How texts are classified. */
export interface TextClassificationOptions {
  /** How many labels, the likeliest first. @default 1; all of them where a text may have several */
  readonly topK?: number | undefined;
  /**
   * How scores are made of logits.
   * @default softmax; sigmoid where a text may have several labels; none for numbers
   */
  readonly functionToApply?: "softmax" | "sigmoid" | "none" | undefined;
  /** Tokens that a text may have; the rest is cut. @default as many as the model reads */
  readonly maxLength?: number | undefined;
}

/**
 * Labels of texts, or of pairs of texts, with their scores. Reference:
 * transformers/pipelines/text_classification.py
 */
export const textClassification: PipelineDefinition<
  TextInput,
  LabelScore[],
  TextClassificationOptions,
  PartLogits
> = {
  names: ["text-classification", "sentiment-analysis"],
  task: "SEQ_CLS",
  options: { topK: {}, functionToApply: {}, maxLength: {} },
  wants: "a text, or a pair: { text, textPair }",
  isInput: isTextInput,
  parts: (input, opened, { maxLength }) => [textPart(input, opened, maxLength)],
  compute: forwardParts,
  output(opened, [part], [logits], { topK, functionToApply: scores }) {
    if (part === undefined || logits === undefined) return [];
    const isMany = problemOf(opened.model.config) === "multi_label_classification";
    const found = predict(opened, part, logits, {
      topK: topK ?? (isMany ? Number.POSITIVE_INFINITY : 1),
      scores,
    });
    return found.kind === "labels" ? [...found.labels] : [];
  },
  window: 32,
};
