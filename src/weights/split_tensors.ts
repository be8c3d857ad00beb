import type { Checkpoint, StoredTensor } from "../hub/checkpoint.js";
import { nodeFiles } from "../hub/files.js";
import { toF32 } from "../hub/tensors/dtypes.js";
import type { CheckpointRules } from "../models/model.js";
import { entry } from "../present.js";

/**
 * A checkpoint whose fused tensors are seen as the weights they consist of: rows of a matrix lie one after
 * another, so that each of its parts can be mapped where it lies.
 */
export function splitTensors(checkpoint: Checkpoint, { split = [] }: CheckpointRules = {}): Checkpoint {
  if (split.length === 0) return checkpoint;
  const parts = new Map<string, StoredTensor>();
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of checkpoint.tensors) {
    const [pattern, into = []] = split.find(([pattern]) => pattern.test(name)) ?? [];
    const rows = (tensor.shape[0] ?? 0) / into.length;
    if (pattern === undefined || !Number.isInteger(rows)) {
      tensors.set(name, tensor);
      continue;
    }
    const bytes = tensor.bytes / into.length;
    for (const [i, part] of into.entries()) {
      const own = name.replace(pattern, part);
      const data = tensor.data?.subarray(i * bytes, (i + 1) * bytes);
      const place = data === undefined ? { offset: tensor.offset + i * bytes } : { data };
      parts.set(own, { ...tensor, name: own, shape: [rows, ...tensor.shape.slice(1)], bytes, ...place });
    }
  }
  const read = async (name: string): Promise<Uint8Array> => {
    const part = parts.get(name);
    if (part === undefined) return await checkpoint.read(name);
    return part.data ?? (await nodeFiles.read(part.path, part.offset, part.bytes));
  };
  const readF32 = async (name: string): Promise<Float32Array> =>
    parts.has(name) ? toF32(await read(name), entry(parts, name).dtype, name) : checkpoint.readF32(name);
  return { ...checkpoint, tensors: new Map([...tensors, ...parts]), read, readF32 };
}
