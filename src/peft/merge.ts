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
  for (const [name, make] of mergers(runtime, adapters)) merged.set(name, await make());
  if (safe) checkFinite(merged);
  return merged;
}

/** The same, weight by weight as they are asked for, so that a model larger than memory can be written. */
export function mergers(
  runtime: Runtime,
  adapters: readonly Adapter[],
): Map<string, () => Promise<Float32Array>> {
  const { inventory } = runtime.weights;
  for (const adapter of adapters) checkMergeable(adapter, inventory);
  const changed = adapters.flatMap((adapter) => [
    ...adapter.replaced.keys(),
    ...[...adapter.sites.values()].flatMap(({ site }) =>
      "bias" in site && site.bias !== undefined ? [site.weight, site.bias] : [site.weight],
    ),
    ...[...adapter.tokens.keys()].map((path) => embeddingOf(inventory, path).weight),
  ]);
  const make = async (name: string): Promise<Float32Array> => {
    let data = await runtime.weight(name);
    for (const adapter of adapters) data = await mergeOne(runtime, adapter, name, data);
    return data;
  };
  return new Map(changed.map((name) => [name, () => make(name)]));
}

/** The same, refusing what is not finite. */
export function checked(
  made: ReadonlyMap<string, () => Promise<Float32Array>>,
): Map<string, () => Promise<Float32Array>> {
  const check = async (name: string, make: () => Promise<Float32Array>): Promise<Float32Array> => {
    const data = await make();
    checkFinite(new Map([[name, data]]));
    return data;
  };
  return new Map([...made].map(([name, make]) => [name, () => check(name, make)]));
}

function embeddingOf(inventory: Inventory, path: string): { weight: string; dim: number } {
  return inventory.embeddings.get(path) ?? internal(`no embedding ${path}`);
}

/** What one adapter makes of a weight. */
async function mergeOne(
  runtime: Runtime,
  adapter: Adapter,
  name: string,
  before: Float32Array,
): Promise<Float32Array> {
  const own = adapter.replaced.get(name);
  let data = own === undefined ? before : adapter.entry(own).data.slice();
  for (const adapted of adapter.sites.values()) {
    const { site } = adapted;
    if (site.weight === name) data = (await mergeSite(runtime, adapter, adapted, data)).weight;
    else if ("bias" in site && site.bias === name)
      data =
        (await mergeSite(runtime, adapter, adapted, await runtime.weight(site.weight), data)).bias ?? data;
  }
  for (const [path, rows] of adapter.tokens) {
    const { weight, dim } = embeddingOf(runtime.weights.inventory, path);
    if (weight !== name) continue;
    data = data.slice();
    for (const [i, id] of rows.ids.entries())
      data.set(adapter.entry(rows.entry).data.subarray(i * dim, (i + 1) * dim), id * dim);
  }
  return data;
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
  if (adapter.isMergeable) return;
  throw new PeftError("adapter-config", {
    what: `The ${method?.config.peftType ?? "?"} adapter "${adapter.name}" cannot be merged.`,
    why: method?.prompt
      ? "virtual tokens are no change of the base's weights."
      : "what it does is not linear in the input.",
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

/** One program for all layers of a shape: each is a block. */
async function mergeSite(
  runtime: Runtime,
  adapter: Adapter,
  adapted: AdaptedSite<typeof adapter.config>,
  weight: Float32Array,
  bias?: Float32Array,
): Promise<{ weight: Float32Array; bias: Float32Array | undefined }> {
  const { site } = adapted;
  const shape = runtime.weights.inventory.weights.get(site.weight) ?? internal(`no weight ${site.weight}`);
  const biasName = "bias" in site ? site.bias : undefined;
  const feeds: Record<string, HostTensor> = { baseWeight: { dtype: "f32", shape, data: weight } };
  if (biasName !== undefined) {
    const data = bias ?? (await runtime.weight(biasName));
    feeds["baseBias"] = { dtype: "f32", shape: [data.length], data };
  }
  const write = ({ g, ...trace }: MergeTrace): { outputs: Record<string, Tensor> } => {
    const inputs = {
      weight: g.input("baseWeight", shape),
      ...(biasName === undefined ? {} : { bias: g.input("baseBias", feeds["baseBias"]!.shape) }),
    };
    const body = ({ weight, bias }: { weight: Tensor; bias?: Tensor }): Record<string, Tensor> => {
      const p = (key: string): Tensor => trace.entry(`${site.path}.${key}`);
      const common = { g, weight, bias, p, shared: trace.entry, scale: g.input(`0/scale:${site.path}`, []) };
      const made =
        adapted.kind === "linear"
          ? adapted.method.merge!({ ...common, site: adapted.site }, adapter.config)
          : adapted.method.merge!({ ...common, site: adapted.site }, adapter.config);
      return made.bias ? { weight: made.weight, bias: made.bias } : { weight: made.weight };
    };
    return { outputs: g.block(site.path, inputs, {}, body) };
  };
  const view = { adapters: [adapter], gates: [1] };
  const request = {
    kind: `merge ${site.path}`,
    view,
    write: (trace: ModelTrace) => write({ g: trace.g, entry: (key) => trace.entry(0, key) }),
    feeds,
    apart: true,
  };
  const { outputs } = await runtime.run(request);
  const floats = (name: string): Float32Array | undefined => outputs[name]?.data as Float32Array | undefined;
  return { weight: floats("weight")!, bias: floats("bias") };
}

interface MergeTrace {
  readonly g: ModelTrace["g"];
  readonly entry: (key: string) => Tensor;
}
