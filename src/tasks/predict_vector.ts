import type { Predicted, PredictOptions, Said } from "./prediction.js";

/**
 * One vector of a text's tokens, special ones included: their mean, the first one's ("cls"), or the last
 * one's; of length 1 where it is normalized. Reference: sentence_transformers/models/Pooling.py
 */
export function predictVector(
  { logits, outputs, config }: Pick<Said, "logits" | "outputs"> & Partial<Pick<Said, "config">>,
  options: PredictOptions = {},
): Extract<Predicted, { kind: "vector" }> {
  const { pooling = config?.pooling?.tokens ?? "mean", normalize = config?.pooling?.normalize ?? false } =
    options;
  const length = logits.length / outputs;
  const vector = new Float32Array(outputs);
  if (pooling === "mean") for (const [i, x] of logits.entries()) vector[i % outputs]! += x / length;
  else vector.set(pooling === "cls" ? logits.subarray(0, outputs) : logits.subarray(-outputs));
  if (!normalize) return { kind: "vector", vector };
  const size = Math.max(Math.hypot(...vector), 1e-12);
  return { kind: "vector", vector: vector.map((x) => x / size) };
}
