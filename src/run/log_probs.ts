import type { View } from "../adapters/view.js";
import { floatsOf } from "../engine/host_tensor.js";
import { ENTROPIES, LOG_PROBS, type LogProbsOptions, logProbsRequest } from "../plan/log_probs.js";
import { labelledPlaces } from "../plan/loss_feeds.js";
import { virtualOf } from "../plan/requests.js";
import { at } from "../present.js";
import type { Inputs } from "../trace/feeds.js";
import { adaptedModel } from "../weights/adapted.js";
import type { Result } from "./passes.js";
import type { Runtime } from "./runtime.js";

/** Log-probabilities of a batch's labels: its completions. */
export interface LogProbs {
  /** Summed over each row's labels, [rows]. */
  readonly sums: Float32Array;
  /** How many labels that are, [rows]. */
  readonly counts: Int32Array;
  /** Of each label, [rows, labels]: 0 where there is none, or nothing stands before it. */
  readonly tokens: Result;
  /** The entropy of the distribution there, in the same form. @default not asked for */
  readonly entropies?: Result;
}

/** log p of each label; dropout is off. */
export async function logProbsPass(
  runtime: Runtime,
  view: View,
  batch: Inputs,
  options: LogProbsOptions,
): Promise<LogProbs> {
  const weights = adaptedModel(runtime.weights, view.adapters);
  const { outputs } = await runtime.run(logProbsRequest(weights, view, batch, options));
  const { from, shape } = labelledPlaces(weights.spec, batch, virtualOf(view));
  const [rows, width] = shape;
  const spread = (name: string): Result => {
    const data = new Float32Array(rows * width);
    const { data: values } = floatsOf(outputs, name);
    for (const [i, place] of from.entries()) data[place] = at(values, i);
    return { data, shape };
  };
  const tokens = spread(LOG_PROBS);
  const counts = new Int32Array(rows);
  for (const place of from) counts[Math.floor(place / width)]! += 1;
  return {
    sums: rowSums(tokens),
    counts,
    tokens,
    ...(options.entropies && { entropies: spread(ENTROPIES) }),
  };
}

/**
 * Sums of rows [rows, n] in f32, each number times its weight: to the bit what a loss sums in the graph, so
 * that a policy which is its reference differs from it by 0.
 */
export function rowSums({ data, shape }: Result, weights?: Float32Array): Float32Array {
  const [rows = 0, width = 0] = shape;
  return Float32Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      const x = at(data, i);
      sum = Math.fround(sum + (weights === undefined ? x : Math.fround(x * at(weights, i))));
    }
    return sum;
  });
}
