import type { Entity } from "../tasks/prediction.js";
import type { PipelineDefinition } from "./definition.js";
import { textPart } from "./encode.js";
import { forwardParts, type PartLogits, predict } from "./forward.js";

/** How entities are found. */
export interface TokenClassificationOptions {
  /**
   * "none": each token with its label; "simple": neighbours of one label are one entity; "first", "average",
   * "max": tokens of a word agree first, on what its first token says, on the mean, on what the surest says.
   * @default "simple"
   */
  readonly aggregationStrategy?: "none" | "simple" | "first" | "average" | "max" | undefined;
  /** Labels that are no entities. @default ["O"] */
  readonly ignoreLabels?: readonly string[] | undefined;
  /** Tokens that a text may have; the rest is cut. @default as many as the model reads */
  readonly maxLength?: number | undefined;
}

/** Parts of a text with their labels. Reference: transformers/pipelines/token_classification.py */
export const tokenClassification: PipelineDefinition<
  string,
  Entity[],
  TokenClassificationOptions,
  PartLogits
> = {
  names: ["token-classification", "ner"],
  task: "TOKEN_CLS",
  options: { aggregationStrategy: {}, ignoreLabels: {}, maxLength: {} },
  wants: "a text",
  isInput: (value) => typeof value === "string",
  parts: (input, opened, { maxLength }) => [textPart(input, opened, maxLength)],
  compute: forwardParts,
  output(opened, [part], [logits], { aggregationStrategy: aggregation, ignoreLabels }) {
    if (part === undefined || logits === undefined) return [];
    const found = predict(opened, part, logits, { aggregation, ignoreLabels });
    return found.kind === "entities" ? [...found.entities] : [];
  },
  window: 32,
};
