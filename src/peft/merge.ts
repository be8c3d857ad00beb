import type { HostTensor } from "../engine/messages.js";
import { internal, PeftError } from "../errors.js";
import type { Tensor } from "../graph/ops.js";
import type { AdaptedSite, Adapter } from "./adapter.js";
import type { Runtime } from "./runtime.js";
import type { Inventory, ModelTrace } from "./trace.js";

/** What merging changes: new weights by name. */
export type MergedWeights = Map<string, Float32Array>;

/**
 * The weights that do without the adapters what the layers do with them; adapters are merged one after another.
 * `safe` refuses results that are not finite. Throws "adapter-config" for methods that cannot be merged.
 */
export async function mergedWeights(
  runtime: Runtime,
  adapters: readonly Adapter[],
  safe: boolean,
): Promise<MergedWeights> {
  const merged: MergedWeights = new Map();
  for (const adapter of adapters) {
    checkMergeable(adapter, runtime.weights.inventory);
    for (const [name, key] of adapter.replaced) merged.set(name, adapter.entry(key).data.slice());
    for (const site of adapter.sites.values()) await mergeSite(runtime, adapter, site, merged);
    for (const [path, rows] of adapter.tokens) {
      const { weight, dim } =
        runtime.weights.inventory.embeddings.get(path) ?? internal(`no embedding ${path}`);
      const table = merged.get(weight) ?? (await runtime.weight(weight)).slice();
      for (const [i, id] of rows.ids.entries())
        table.set(adapter.entry(rows.entry).data.subarray(i * dim, (i + 1) * dim), id * dim);
      merged.set(weight, table);
    }
  }
  if (safe) checkFinite(merged);
  return merged;
}

function checkMergeable(adapter: Adapter, inventory: Inventory): void {
  const { method } = adapter;
  const tied = tiedLayers(adapter, inventory);
  if (tied.length > 0)
    throw new PeftError("adapter-config", {
      what: `The adapter "${adapter.name}" cannot be merged: it changes ${tied.join(", ")}.`,
      why: "the weight is tied to another layer's, which the adapter leaves as it is.",
      fix: "keep the adapter apart, or train one that leaves tied layers out of targetModules and modulesToSave.",
    });
  const cannot = [...adapter.sites.values()].some((s) => s.method.merge === undefined);
  if (method?.prompt === undefined && !cannot) return;
  throw new PeftError("adapter-config", {
    what: `The ${method?.peftType ?? "?"} adapter "${adapter.name}" cannot be merged.`,
    why: method?.prompt
      ? "virtual tokens are no change of the base's weights."
      : "its layers are not linear in the input.",
    fix: "keep the adapter apart: it is a few megabytes, and PeftModel.fromPretrained loads it.",
  });
}

/** Layers of the adapter whose weight another layer shares that the adapter does not change in the same way. */
function tiedLayers(adapter: Adapter, { weights, linears, embeddings }: Inventory): string[] {
  const layers = [...linears.values(), ...embeddings.values()];
  const shared = [...adapter.sites.values()].map(({ site }) => site);
  const sites = shared.filter(({ path, weight }) =>
    layers.some((other) => other.weight === weight && other.path !== path),
  );
  return [...sites.map((s) => s.path), ...[...adapter.replaced.keys()].filter((name) => !weights.has(name))];
}

function checkFinite(merged: MergedWeights): void {
  const broken = [...merged]
    .filter(([, data]) => data.some((x) => !Number.isFinite(x)))
    .map(([name]) => name);
  if (broken.length === 0) return;
  throw new PeftError("adapter-config", {
    what: `Merging gives NaN or infinite values in ${broken.slice(0, 5).join(", ")}.`,
    why: "the adapter's own tensors are not finite there; the model is as it was.",
    fix: "use an earlier checkpoint of the adapter.",
  });
}

async function mergeSite(
  runtime: Runtime,
  adapter: Adapter,
  adapted: AdaptedSite<typeof adapter.config>,
  merged: MergedWeights,
): Promise<void> {
  const { site } = adapted;
  const shape = runtime.weights.inventory.weights.get(site.weight) ?? internal(`no weight ${site.weight}`);
  const biasName = "bias" in site ? site.bias : undefined;
  const now = async (name: string): Promise<Float32Array> => merged.get(name) ?? (await runtime.weight(name));
  const feeds: Record<string, HostTensor> = {
    baseWeight: { dtype: "f32", shape, data: await now(site.weight) },
  };
  if (biasName !== undefined) {
    const data = await now(biasName);
    feeds["baseBias"] = { dtype: "f32", shape: [data.length], data };
  }
  const write = (trace: ModelTrace): { outputs: Record<string, Tensor> } => {
    const { g } = trace;
    const common = {
      g,
      weight: g.input("baseWeight", shape),
      bias: biasName === undefined ? undefined : g.input("baseBias", feeds["baseBias"]!.shape),
      p: (key: string) => trace.entry(0, `${site.path}.${key}`),
      scale: g.input(`0/scale:${site.path}`, []),
    };
    const result =
      adapted.kind === "linear"
        ? adapted.method.merge!({ ...common, site: adapted.site }, adapter.config)
        : adapted.method.merge!({ ...common, site: adapted.site }, adapter.config);
    return {
      outputs: result.bias ? { weight: result.weight, bias: result.bias } : { weight: result.weight },
    };
  };
  const view = { adapters: [adapter], gates: [1] };
  const { outputs } = await runtime.run({ kind: `merge ${site.path}`, view, write, feeds });
  merged.set(site.weight, outputs["weight"]!.data as Float32Array);
  if (outputs["bias"] !== undefined) merged.set(biasName!, outputs["bias"].data as Float32Array);
}
