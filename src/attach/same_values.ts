import type { Checkpoint } from "../hub/checkpoint.js";
import { nodeFiles } from "../hub/files.js";
import { bytesPer, toF32 } from "../hub/tensors/dtypes.js";
import type { Runtime } from "../run/runtime.js";

/** Numbers that are compared at a time: embeddings are large. */
const PIECE = 1 << 20;

/** Whether a tensor of a file has the values of the base's weight, to the bit in f32. */
export async function hasValues(
  { weights }: Runtime,
  name: string,
  file: Checkpoint,
  stored: string,
): Promise<boolean> {
  const tensor = file.tensors.get(stored);
  const source = weights.sources.get(name);
  if (tensor === undefined || source === undefined) return false;
  const part = source.parts["data"];
  const { format } = source;
  const isPiecewise =
    part !== undefined &&
    "path" in part &&
    tensor.data === undefined &&
    Number.isInteger(bytesPer[tensor.dtype]);
  if (!isPiecewise || (format !== "f32" && format !== "f16" && format !== "bf16")) {
    const [a, b] = await Promise.all([weights.readF32(name), file.readF32(stored)]);
    return areEqual(a, b);
  }
  const [own, other] = [bytesPer[format], bytesPer[tensor.dtype]];
  const count = tensor.bytes / other;
  for (let at = 0; at < count; at += PIECE) {
    const length = Math.min(PIECE, count - at);
    const [a, b] = await Promise.all([
      nodeFiles.read(part.path, part.offset + at * own, length * own),
      nodeFiles.read(tensor.path, tensor.offset + at * other, length * other),
    ]);
    if (!areEqual(toF32(a, format), toF32(b, tensor.dtype))) return false;
  }
  return true;
}

function areEqual(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}
