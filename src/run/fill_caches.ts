import type { View } from "../adapters/view.js";
import type { Arrangement, HostTensor, RunResult } from "../engine/messages.js";
import { internal } from "../errors.js";
import type { RunRequest } from "../plan/plan.js";
import { at } from "../present.js";
import { cachedShape, cacheNames, declareCore, feedInput, prefixRows } from "../trace/inputs.js";
import { prefixCache } from "../trace/prefix.js";
import type { ModelSpec } from "../trace/write.js";

/** What runs the steps: a Runtime. */
export interface StepRuntime {
  readonly weights: { readonly spec: ModelSpec };
  run(request: RunRequest): Promise<RunResult>;
  arrange(arrangement: Arrangement): Promise<void>;
  put(tensors: Readonly<Record<string, HostTensor>>): Promise<void>;
  release(names: readonly string[]): Promise<void>;
  /** A number that no other caller got. */
  unique(): number;
}

/** Lays the caches of rows as they are before the first token under these names: empty, or a prefix. */
export async function fillCaches(
  runtime: StepRuntime,
  view: View,
  names: readonly string[],
  { rows, prefix }: { readonly rows: number; readonly prefix: number },
): Promise<void> {
  const { config } = runtime.weights.spec;
  if (prefix === 0) {
    const empty = (i: number): HostTensor => {
      return { dtype: "f32", shape: cachedShape(config.cache, i, rows, 0), data: new Float32Array(0) };
    };
    await runtime.put(Object.fromEntries(names.map((name, i) => [name, empty(i)])));
    return;
  }
  const results = cacheNames("past", config.cache).flatMap(({ k, v }) => [k, v]);
  await runtime.run({
    kind: "prefix",
    view,
    write: (trace) => {
      const count = declareCore(trace.g, prefixRows);
      const filled = prefixCache(trace, config, count) ?? internal("no prefix");
      const tensors = filled.flatMap(({ k, v }) => [k, v]);
      return { outputs: Object.fromEntries(results.map((name, i) => [name, at(tensors, i)])) };
    },
    feeds: feedInput(prefixRows, new Int32Array(rows), [rows]),
    keep: Object.fromEntries(results.map((result, i) => [result, at(names, i)])),
  });
}
