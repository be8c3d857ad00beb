import type { Checkpoint, StoredTensor } from "../hub/checkpoint.js";
import { openAdapterWeights } from "../hub/checkpoint.js";
import { elements } from "../hub/tensors/dtypes.js";
import type { ModelSpec } from "../trace/write.js";
import { takeInventory } from "../trace/write.js";
import { moduleNames } from "./weights.js";

/** Where a vocabulary's size is in a shape, and what new rows are. */
interface VocabularyAxis {
  readonly axis: number;
  readonly size: number;
  readonly fill: "mean" | "zeros";
}

/**
 * Weights whose shape a vocabulary's size is in, and where: which these are shows where another size changes
 * a shape.
 */
function vocabularyWeights(spec: ModelSpec, other: ModelSpec): Map<string, VocabularyAxis> {
  const [own, others] = [takeInventory(spec), takeInventory(other)];
  const found = new Map<string, VocabularyAxis>();
  for (const [name, shape] of own.weights) {
    const axis = shape.findIndex((size, i) => size !== others.weights.get(name)?.[i]);
    if (axis >= 0) found.set(name, { axis, size: shape[axis] ?? 0, fill: "mean" });
  }
  for (const [name, { shape }] of own.tables) {
    const axis = shape.findIndex((size, i) => size !== others.tables.get(name)?.shape[i]);
    if (axis >= 0) found.set(name, { axis, size: shape[axis] ?? 0, fill: "zeros" });
  }
  // A tied head is no weight of the model, and may stand in a file.
  const [head, embedding] = spec.architecture.tie ?? [];
  const rows = found.get(embedding ?? "");
  if (head !== undefined && rows !== undefined) found.set(head, rows);
  return found;
}

/**
 * A checkpoint with other rows for a vocabulary: those that both have stay, new ones are the mean of the old
 * (transformers draws them around it). They are held in memory, in f32.
 * @param before the model as the checkpoint has it
 * @param after the same with another vocab_size
 */
export async function resizeVocabulary(
  checkpoint: Checkpoint,
  before: ModelSpec,
  after: ModelSpec,
): Promise<Checkpoint> {
  const weights = vocabularyWeights(after, before);
  const was = vocabularyWeights(before, after);
  const tensors = new Map<string, StoredTensor>(checkpoint.tensors);
  const resized = new Map<string, Float32Array>();
  for (const [key, tensor] of checkpoint.tensors) {
    const name = moduleNames(after.architecture, key).find((n) => weights.has(n)) ?? "";
    const place = weights.get(name);
    if (place === undefined || tensor.shape[place.axis] !== was.get(name)?.size) continue;
    const shape = tensor.shape.map((size, i) => (i === place.axis ? place.size : size));
    const values = withRows(await checkpoint.readF32(key), tensor.shape, place);
    const data = new Uint8Array(values.buffer);
    tensors.set(key, { ...tensor, dtype: "f32", shape, bytes: data.byteLength, data });
    resized.set(key, values);
  }
  return {
    ...checkpoint,
    tensors,
    read: async (key) => tensors.get(key)?.data ?? checkpoint.read(key),
    readF32: async (key) => resized.get(key) ?? checkpoint.readF32(key),
  };
}

/** A tensor with `size` parts along an axis, the axes before it being of length 1. */
function withRows(
  data: Float32Array,
  shape: readonly number[],
  { axis, size, fill }: VocabularyAxis,
): Float32Array {
  const before = shape[axis] ?? 0;
  const width = elements(shape.slice(axis + 1));
  const out = new Float32Array(size * width);
  out.set(data.subarray(0, Math.min(before, size) * width));
  if (size <= before || fill === "zeros") return out;
  const mean = new Float64Array(width);
  for (let i = 0; i < before * width; i++) mean[i % width] = (mean[i % width] ?? 0) + (data[i] ?? 0) / before;
  for (let row = before; row < size; row++) out.set(mean, row * width);
  return out;
}

/** How many tokens an adapter's own embedding or head has; undefined: it brings none. */
export async function vocabularyOfAdapter(folder: string, spec: ModelSpec): Promise<number | undefined> {
  const more = { ...spec, config: { ...spec.config, vocabSize: spec.config.vocabSize + 1 } };
  const file = await openAdapterWeights(folder);
  for (const [name, { axis }] of vocabularyWeights(spec, more)) {
    const module = `base_model.model.${name.replace(/\.weight$/, "")}`;
    for (const key of [`${module}.weight`, `${module}.base_layer.weight`]) {
      const size = file.tensors.get(key)?.shape[axis];
      if (size !== undefined) return size;
    }
  }
  return undefined;
}
