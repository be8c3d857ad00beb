import type { View } from "../adapters/view.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { HostTensor } from "../engine/messages.js";
import { type Chunk, chunkRequest, chunksOf, lossOfVectorsRequest, vectorsRequest } from "../plan/chunks.js";
import type { RunRequest } from "../plan/plan.js";
import { type BackwardOptions, usedLoss } from "../plan/requests.js";
import type { Inputs, TextBatch } from "../trace/feeds.js";
import { adaptedModel } from "../weights/adapted.js";
import type { Runtime } from "./runtime.js";

/** A way back in parts. */
export interface ChunkedPass {
  /** Sum of the loss, and what it is divided by: one number each. */
  readonly sum: HostTensor | undefined;
  readonly count: HostTensor | undefined;
  /** Passes over the parts, whose gradients add up to that of the whole batch. */
  requests(total: number): Generator<RunRequest>;
}

/**
 * Of a loss that says so (`chunk`), for a batch of more texts: vectors first, without a way back; then the
 * loss of all of them with its gradient by vector; then each part forward and back with its vectors'
 * gradient. The sum of the parts' gradients is that of the whole batch (GradCache,
 * https://arxiv.org/abs/2101.06983). Undefined: the batch is computed as a whole.
 */
export async function inChunks(
  runtime: Runtime,
  view: View,
  batch: Inputs,
  options: BackwardOptions,
): Promise<ChunkedPass | undefined> {
  const weights = adaptedModel(runtime.weights, view.adapters);
  const loss = usedLoss(weights.spec, batch, options.loss);
  if (loss?.chunk === undefined || !isLarger(batch, loss.chunk)) return undefined;
  const chunks = chunksOf(batch, loss.chunk, options);
  const width = weights.spec.config.hiddenSize;
  const [texts] = batch.inputIds.shape;
  const vectors = new Float32Array(texts * width);
  for (const chunk of chunks) {
    const { outputs } = await runtime.run(vectorsRequest(weights, view, chunk, options.training ?? true));
    vectors.set(outputs["vectors"]?.data ?? [], chunk.first * width);
  }
  const all: HostTensor = { dtype: "f32", shape: [texts, width], data: vectors };
  const { outputs } = await runtime.run(lossOfVectorsRequest(weights, batch, loss, options.loss, all));
  const { data: gradient } = floatsOf(outputs, "gradient");
  const partOf = ({ first, keys }: Chunk): { data: Float32Array; shape: readonly number[] } => {
    const rows = keys.data.length;
    return { data: gradient.slice(first * width, (first + rows) * width), shape: [rows, width] };
  };
  function* requests(total: number): Generator<RunRequest> {
    for (const chunk of chunks)
      yield chunkRequest(weights, view, chunk, partOf(chunk), total / texts, options);
  }
  return { sum: outputs["sum"], count: outputs["count"], requests };
}

function isLarger(batch: Inputs, chunk: number): batch is TextBatch {
  return batch.inputIds !== undefined && batch.inputIds.shape[0] > chunk;
}
