import type { Adapter } from "../adapters/adapter.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { Result } from "../run/passes.js";
import type { Runtime } from "../run/runtime.js";

/**
 * The virtual tokens of a prompt, [rows, dim]: as they were saved, or as its encoder yields them; undefined:
 * the adapter is no prompt.
 */
export async function promptRows(runtime: Runtime, adapter: Adapter): Promise<Result | undefined> {
  const prompt = adapter.method?.prompt;
  if (prompt === undefined) return undefined;
  if (adapter.prompt === "stored") return adapter.entry("prompt_embeddings");
  const { outputs } = await runtime.run({
    kind: "prompt embeddings",
    view: { adapters: [adapter], gates: [1] },
    write: (trace) => ({
      outputs: {
        rows: prompt.encode(trace.g, (key) => trace.entry(0, `prompt_encoder.${key}`), adapter.config),
      },
    }),
    feeds: {},
  });
  return floatsOf(outputs, "rows");
}
