import type { WeightSource } from "../messages.js";

/** A weight whose one part lies in a file as the format has it. */
export function inFile(
  format: "f32" | "f16" | "bf16",
  shape: readonly number[],
  path: string,
  offset: number,
): WeightSource {
  return { format, shape, transposed: false, parts: { data: { path, offset } } };
}

/** A weight that is given in f32. */
export function givenWeight(shape: readonly number[], data: Float32Array): WeightSource {
  return { format: "f32", shape, transposed: false, parts: { data } };
}
