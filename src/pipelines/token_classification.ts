import { at } from "../present.js";
import type { Entity } from "../tasks/prediction.js";
import type { DocumentInput, PipelineDefinition } from "./definition.js";
import { documentParts, isDocument, joined, withBox } from "./document.js";
import { textPart } from "./encode.js";
import { forwardParts, type PartLogits, predict } from "./forward.js";

/** How entities are found. */
export interface TokenClassificationOptions {
  /**
   * "none": each token with its label; "simple": neighbours of one label are one entity; "first", "average",
   * "max": tokens of a word agree first, on what its first token says, on the mean, on what the surest says.
   * @default "simple"; of documents, whose labels are learnt at words' first tokens, "first"
   */
  readonly aggregationStrategy?: "none" | "simple" | "first" | "average" | "max" | undefined;
  /** Labels that are no entities. @default ["O"] */
  readonly ignoreLabels?: readonly string[] | undefined;
  /** Tokens that a text may have; the rest is cut. @default as many as the model reads */
  readonly maxLength?: number | undefined;
}

/**
 * Parts of a text, or of a page with their boxes, with their labels. Reference:
 * transformers/pipelines/token_classification.py
 */
export const tokenClassification: PipelineDefinition<
  string | DocumentInput,
  Entity[],
  TokenClassificationOptions,
  PartLogits
> = {
  names: ["token-classification", "ner"],
  task: "TOKEN_CLS",
  options: { aggregationStrategy: {}, ignoreLabels: {}, maxLength: {} },
  wants: "a text, or a page: { words, boxes }",
  isInput: (value) => typeof value === "string" || isDocument(value),
  parts: (input, opened, { maxLength }) =>
    typeof input === "string"
      ? [textPart(input, opened, maxLength)]
      : documentParts(input, opened, maxLength),
  compute: forwardParts,
  output(opened, parts, results, { aggregationStrategy, ignoreLabels }) {
    if (parts.length === 0) return [];
    const [part, logits] = joined(parts, results);
    const { page } = at(parts, 0);
    const aggregation = aggregationStrategy ?? (page === undefined ? undefined : "first");
    const found = predict(opened, part, logits, { aggregation, ignoreLabels });
    const entities = found.kind === "entities" ? found.entities : [];
    return page === undefined ? [...entities] : entities.map((entity) => withBox(entity, page));
  },
  window: 32,
};
