import type { PipelineDefinition } from "./definition.js";
import { textPart } from "./encode.js";
import { forwardParts, type PartLogits, predict } from "./forward.js";
import { sentenceTransformer } from "./sentence_transformers.js";

/** How a text's vector is made of those of its tokens. */
export interface FeatureExtractionOptions {
  /** Their mean, the first one, or the last one. @default as modules.json of sentence-transformers says, else "mean" */
  readonly pooling?: "mean" | "cls" | "last" | undefined;
  /** Whether it gets length 1, so that products are cosines. @default as modules.json says, else false */
  readonly normalize?: boolean | undefined;
  /** Tokens that a text may have; the rest is cut. @default as sentence-transformers' files say, else as many as the model reads */
  readonly maxLength?: number | undefined;
}

/** A vector for each text. Reference: sentence_transformers/SentenceTransformer.py, encode */
export const featureExtraction: PipelineDefinition<
  string,
  Float32Array,
  FeatureExtractionOptions,
  PartLogits
> = {
  names: ["feature-extraction"],
  task: "FEATURE_EXTRACTION",
  options: { pooling: {}, normalize: {}, maxLength: {} },
  wants: "a text",
  isInput: (value) => typeof value === "string",
  defaults: ({ folders }) => sentenceTransformer(folders),
  parts: (input, opened, { maxLength }) => [textPart(input, opened, maxLength)],
  compute: forwardParts,
  output(opened, [part], [logits], { pooling, normalize }) {
    if (part === undefined || logits === undefined) return new Float32Array();
    const found = predict(opened, part, logits, { pooling, normalize });
    return found.kind === "vector" ? found.vector : new Float32Array();
  },
  window: 32,
};
