import type { FilePiece, WeightSource } from "../messages.js";

/** A weight whose one part lies in a file as the format has it. */
export function inFile(
  format: "f32" | "f16" | "bf16",
  shape: readonly number[],
  path: string,
  offset: number,
): WeightSource {
  return { format, shape, transposed: false, parts: { data: { path, offset } } };
}

/** The same of several places, one behind the other. */
export function inFiles(
  format: "f32" | "f16" | "bf16",
  shape: readonly number[],
  pieces: readonly FilePiece[],
): WeightSource {
  const [first, ...more] = pieces;
  if (first !== undefined && more.length === 0) return inFile(format, shape, first.path, first.offset);
  const places = pieces.map(({ path, offset, bytes }) => ({ path, offset, bytes }));
  return { format, shape, transposed: false, parts: { data: { pieces: places } } };
}

/** A weight that is given in f32. */
export function givenWeight(shape: readonly number[], data: Float32Array): WeightSource {
  return { format: "f32", shape, transposed: false, parts: { data } };
}
