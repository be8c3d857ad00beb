import type { Adapter, TokenRows } from "../adapters/adapter.js";
import type { BoundSite } from "../adapters/site.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { HostTensor } from "../engine/messages.js";
import { internal, PeftError } from "../errors.js";
import type { Tensor } from "../graph/ops.js";
import type { Site } from "../methods/method.js";
import { at } from "../present.js";
import type { Runtime } from "../run/runtime.js";
import type { Inventory, ModelTrace } from "../trace/trace.js";
import type { Tie } from "../weights/tie.js";
import { tieOf, untied, unties } from "../weights/tie.js";
import { option, words } from "../words.js";

/** What merging changes: new weights by name. */
export type MergedWeights = Map<string, Float32Array>;

/**
 * The weights that do without the adapters what the layers do with them; adapters are merged one after
 * another. `safe` refuses results that are not finite. Throws "adapter-config" for methods that cannot be
 * merged.
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
  const tie = tieOf(runtime.weights.inventory);
  const isUntied = tie !== undefined && adapters.some((adapter) => unties(adapter, tie));
  const weights = isUntied ? untied(runtime.weights, tie) : runtime.weights;
  for (const adapter of adapters) checkMergeable(adapter, isUntied ? undefined : tie);
  const places = adapters.map((adapter) => placesOf(adapter, weights.inventory));
  const changed = [
    ...adapters.flatMap(({ replaced }) => [...replaced.keys()]),
    ...places.flatMap((all) => [...all.keys()]),
    ...(isUntied ? [tie.own] : []),
  ].filter((name) => weights.inventory.weights.has(name));
  const make = async (name: string): Promise<Float32Array> => {
    let data = await runtime.weight(name);
    for (const [i, adapter] of adapters.entries())
      data = await mergeOne(runtime, adapter, at(places, i).get(name) ?? [], name, data);
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

/** What an adapter does to a weight: at an adapted layer, to a layer's bias, or to rows. */
type Place = TokenRows | { readonly site: BoundSite; readonly weight: string; readonly isBias: boolean };

/** Places by the names of the weights there; a module that is tied no more has one of its own. */
function placesOf(adapter: Adapter, inventory: Inventory): Map<string, Place[]> {
  const places = new Map<string, Place[]>();
  const add = (name: string, place: Place): void =>
    void places.set(name, [...(places.get(name) ?? []), place]);
  for (const site of adapter.layers.values()) {
    const { weight } = layerOf(inventory, site.path);
    add(weight, { site, weight, isBias: false });
    if (site.bias !== undefined) add(site.bias, { site, weight, isBias: true });
  }
  for (const site of adapter.stacks.values()) {
    const weight = site.weight ?? internal(`no weight at ${site.path}`);
    add(weight, { site, weight, isBias: false });
  }
  for (const [path, rows] of adapter.tokens) add(layerOf(inventory, path).weight, rows);
  return places;
}

export function layerOf({ linears, bare, embeddings, convs }: Inventory, path: string): Site {
  const matrix = linears.get(path) ?? bare.get(path);
  return matrix ?? embeddings.get(path) ?? convs.get(path) ?? internal(`no layer ${path}`);
}

/** What one adapter makes of a weight. */
async function mergeOne(
  runtime: Runtime,
  adapter: Adapter,
  places: readonly Place[],
  name: string,
  before: Float32Array,
): Promise<Float32Array> {
  const own = adapter.replaced.get(name);
  let data = own === undefined ? before : adapter.entry(own).data.slice();
  for (const place of places) {
    if ("ids" in place) data = withRows(data, adapter, place);
    else if (!place.isBias) data = (await mergeSite(runtime, adapter, place.site, data)).weight;
    else {
      const weight = await runtime.weight(place.weight);
      data = (await mergeSite(runtime, adapter, place.site, weight, data)).bias ?? data;
    }
  }
  return data;
}

function withRows(before: Float32Array, adapter: Adapter, { ids, entry }: TokenRows): Float32Array {
  const data = before.slice();
  const { data: rows, shape } = adapter.entry(entry);
  const dim = at(shape, 1);
  for (const [i, id] of ids.entries()) data.set(rows.subarray(i * dim, (i + 1) * dim), id * dim);
  return data;
}

/** `tie`: of a model that stays tied. */
function checkMergeable(adapter: Adapter, tie: Tie | undefined): void {
  const { method } = adapter;
  const layer = tie === undefined ? undefined : oneSided(adapter, tie);
  if (layer !== undefined)
    throw new PeftError("adapter-config", {
      what: `The adapter "${adapter.name}" cannot be merged: it changes ${layer}.`,
      why: "the weight is tied to another layer's, which the adapter changes otherwise or not at all. (Python merges into both, and the model is another one after it.)",
      fix: words`keep the adapter apart, or train these layers whole: ${option("modulesToSave")} unties them when it is merged.`,
    });
  if (adapter.isMergeable) return;
  throw new PeftError("adapter-config", {
    what: `The ${method?.config.peftType ?? "?"} adapter "${adapter.name}" cannot be merged.`,
    why: whyApart(adapter),
    fix: words`keep the adapter apart: it is a few megabytes, and ${option("adapter", undefined, "PeftModel.fromPretrained")} loads it.`,
  });
}

function whyApart({ method, sites, task }: Adapter): string {
  if (task !== undefined) return `its head is for ${task.task}, which the base is not.`;
  if (method?.prompt !== undefined) return "virtual tokens are no change of the base's weights.";
  const without = [...sites.values()].find(({ bias }) => bias === undefined);
  return method?.layers?.linear?.mergesInto === "bias" && without !== undefined
    ? `it changes biases, and ${without.path} has none.`
    : "what it does is not linear in the input.";
}

/** A layer of a tie that an adapter does not change as it does the other one. */
function oneSided({ layers, tokens }: Adapter, { embedding, head }: Tie): string | undefined {
  const adapted = [embedding.path, head.path].find((path) => layers.has(path));
  const [rows, headRows] = [tokens.get(embedding.path), tokens.get(head.path)];
  return adapted ?? (rows?.entry === headRows?.entry ? undefined : head.path);
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

/** What an adapter makes of one layer's weight and bias. One program for all layers of a shape. */
export async function mergeSite(
  runtime: Runtime,
  adapter: Adapter,
  site: BoundSite,
  weight: Float32Array,
  bias?: Float32Array,
): Promise<{ weight: Float32Array; bias: Float32Array | undefined }> {
  const { path, merge = () => internal(`${path} has no merge`) } = site;
  const shape = runtime.weights.inventory.weights.get(site.weight ?? "") ?? internal(`no weight at ${path}`);
  const feeds: Record<string, HostTensor> = { baseWeight: { dtype: "f32", shape, data: weight } };
  if (site.bias !== undefined) {
    const data = bias ?? (await runtime.weight(site.bias));
    feeds["baseBias"] = { dtype: "f32", shape: [data.length], data };
  }
  const write = (trace: ModelTrace): { outputs: Record<string, Tensor> } => {
    const { g } = trace;
    const inputs = {
      weight: g.input("baseWeight", shape),
      ...(feeds["baseBias"] && { bias: g.input("baseBias", feeds["baseBias"].shape) }),
    };
    const body = ({ weight, bias }: { weight: Tensor; bias?: Tensor }): Record<string, Tensor> => ({
      ...merge({ ...trace.place(0, path), weight, bias }),
    });
    return { outputs: g.block(path, inputs, {}, body) };
  };
  const view = { adapters: [adapter], gates: [1] };
  const { outputs } = await runtime.run({ kind: `merge ${path}`, view, write, feeds, forceBlockwise: true });
  return {
    weight: floatsOf(outputs, "weight").data,
    bias: "bias" in outputs ? floatsOf(outputs, "bias").data : undefined,
  };
}
