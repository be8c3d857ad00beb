import type { PipelineDefinition } from "./definition.js";
import { textPart } from "./encode.js";
import { forwardParts, type PartLogits, predict } from "./forward.js";
import { type FeatureExtractionOptions, sentenceTransformer } from "./sentence_transformers.js";

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
