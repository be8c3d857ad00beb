import type { Adapter } from "../adapters/adapter.js";
import { internal, PeftError } from "../errors.js";
import type { Approximated, Change, Kept, Method } from "../methods/method.js";
import { methods } from "../methods/registry.js";
import { entry } from "../present.js";
import type { Runtime } from "../run/runtime.js";
import { option, words } from "../words.js";
import { attach } from "./attach.js";
import { layerOf, mergeSite } from "./merge.js";

/** How an adapter becomes a LoRA: `rank` or `energy` says how much of it is kept. */
export interface ConvertOptions {
  /** Rank of every layer. */
  readonly rank?: number;
  /**
   * Share of the squares of a layer's singular values, above 0 and up to 1: each layer has the smallest rank
   * that reaches it.
   */
  readonly energy?: number;
  /** Largest relative error that is taken: beyond it nothing is written. @default any */
  readonly maxError?: number;
}

/** What a conversion leaves out. */
export interface Conversion {
  /** Norm of what is missing of all layers' changes, as a share of the norm of these changes. */
  readonly error: number;
  /** The same for each layer, with the rank that it got. */
  readonly layers: readonly { readonly path: string; readonly rank: number; readonly error: number }[];
}

/**
 * A LoRA that stands for an adapter whose layers change by a matrix, and what it leaves out. `isReduced`: the
 * adapter took a part of the base into itself; the LoRA stands on the whole base. Throws "adapter-config",
 * "option". Reference: peft/tuners/lora/conversion.py
 */
export async function convertAdapter(
  adapter: Adapter,
  runtime: Runtime,
  options: ConvertOptions,
  isReduced: boolean,
): Promise<Conversion & { readonly adapter: Adapter }> {
  const kept = keptOf(options);
  refuseOthers(adapter);
  const method = methods.all.find((m) => m.layers?.approximation !== undefined);
  const approximation = method?.layers?.approximation;
  if (method === undefined || approximation === undefined) return internal("no method stands for others");
  const converted = new Map<string, Approximated>();
  for (const path of adapter.layers.keys()) {
    const change = await changeOf(adapter, path, runtime, isReduced);
    if ("rank" in kept) checkRank(kept.rank, path, change);
    converted.set(path, approximation.site(change, kept, change.kind));
  }
  const layers = [...converted].map(([path, { rank, energy, lost }]) => {
    return { path, rank, error: relative(lost, energy) };
  });
  const sum = (of: "lost" | "energy"): number => [...converted.values()].reduce((n, c) => n + c[of], 0);
  const error = relative(sum("lost"), sum("energy"));
  checkError(error, options);
  const ranks = approximation.options(kept, new Map(layers.map(({ path, rank }) => [path, rank])));
  return { adapter: standIn(adapter, method, runtime, converted, ranks), error, layers };
}

/** The new adapter, on the layers of the one that it stands for. */
function standIn(
  adapter: Adapter,
  method: Method,
  runtime: Runtime,
  converted: ReadonlyMap<string, Approximated>,
  ranks: Readonly<Record<string, unknown>>,
): Adapter {
  const { spec, inventory } = runtime.weights;
  const config = method.config.create({ ...optionsOf(adapter, method), ...ranks });
  const made = attach("default", method, config, spec, inventory, { seed: 0 }).adapter;
  for (const [path, { parameters }] of converted)
    for (const [key, data] of Object.entries(parameters)) made.entry(`${path}.${key}`).data.set(data);
  const whole = [...adapter.whole.keys(), ...[...adapter.tokens.values()].map((rows) => rows.entry)];
  for (const key of new Set(whole)) made.entry(key).data.set(adapter.entry(key).data);
  made.state.classes = adapter.state.classes;
  return made;
}

/** What says where an adapter stands, and what trains beside it. */
const PLACES = [
  ...["taskType", "baseModelNameOrPath", "revision", "excludeModules", "layersToTransform", "layersPattern"],
  ...["modulesToSave", "trainableTokenIndices", "ensureWeightTying"],
];

function optionsOf({ config, json, method }: Adapter, to: Method): Record<string, unknown> {
  const places = Object.entries(config).filter(([key]) => PLACES.includes(key) && key in to.config.options);
  const targetModules = json.get("target_modules") ?? method?.layers?.select(config).targetModules;
  return { ...Object.fromEntries(places), targetModules };
}

/** What an adapter changes of a layer's weight. */
async function changeOf(
  adapter: Adapter,
  path: string,
  runtime: Runtime,
  isReduced: boolean,
): Promise<Change & { readonly kind: "linear" | "embedding" }> {
  const site = entry(adapter.layers, path);
  const layer = layerOf(runtime.weights.inventory, path);
  if ("kernel" in layer) throw cannot(adapter, `${path} is a convolution, and a LoRA of matrices is made`);
  const before = await runtime.weight(layer.weight);
  const merged = await mergeSite(runtime, adapter, site, before);
  if (site.bias !== undefined) {
    const bias = await runtime.weight(site.bias);
    if (merged.bias?.some((x, i) => x !== bias[i]) === true)
      throw cannot(adapter, `it changes the bias of ${path}, and a LoRA changes weights alone`);
  }
  const whole = isReduced ? await runtime.weights.readF32(layer.weight) : before;
  const weight = merged.weight.map((x, i) => x - (whole[i] ?? 0));
  // A table [vocab, dim] is a transposed weight of a layer from vocab to dim.
  const isTable = "vocab" in layer;
  const [inDim, outDim] = isTable ? [layer.vocab, layer.dim] : [layer.inDim, layer.outDim];
  const transposed = isTable || layer.transposed;
  return { weight, inDim, outDim, transposed, kind: isTable ? "embedding" : "linear" };
}

function keptOf({ rank, energy, maxError }: ConvertOptions): Kept {
  const fault = (what: ReturnType<typeof words>, why: string): never => {
    throw new PeftError("option", {
      what,
      why,
      fix: words`${option("rank", 16)}, or ${option("energy", 0.95)}.`,
    });
  };
  if ((rank === undefined) === (energy === undefined))
    fault(
      words`${rank === undefined ? "Neither" : "Both"} ${option("rank")} ${rank === undefined ? "nor" : "and"} ${option("energy")} ${rank === undefined ? "is" : "are"} given.`,
      "one of them says how much of each layer's change is kept.",
    );
  if (rank !== undefined && !(Number.isInteger(rank) && rank > 0))
    fault(words`${option("rank")} is ${rank}.`, "it is a whole number, at least 1.");
  if (energy !== undefined && !(energy > 0 && energy <= 1))
    fault(words`${option("energy")} is ${energy}.`, "it is a share, above 0 and up to 1.");
  if (maxError !== undefined && !(maxError >= 0))
    fault(words`${option("maxError")} is ${maxError}.`, "it is a relative error, at least 0.");
  return rank !== undefined ? { rank } : { energy: energy ?? 1 };
}

function refuseOthers(adapter: Adapter): void {
  const { method, config, layers, sites, isMergeable, replaced, whole } = adapter;
  if (method?.layers === undefined || layers.size === 0 || layers.size < sites.size || !isMergeable)
    throw cannot(adapter, "what it does is no change of layers by matrices");
  const trainsBias = (method.layers.bias?.(config) ?? "none") !== "none";
  const others = [...replaced.keys()].filter((name) => !whole.has(name));
  if (trainsBias || others.length > 0)
    throw cannot(
      adapter,
      `it trains ${trainsBias ? "biases" : others.slice(0, 5).join(", ")} of the base too`,
    );
}

function cannot({ name, method }: Adapter, why: string): PeftError {
  return new PeftError("adapter-config", {
    what: `The ${method?.config.peftType ?? "?"} adapter "${name}" cannot become a LoRA.`,
    why: `${why}.`,
    fix: "merge it instead: saveMerged(folder), or `peft merge`.",
  });
}

function checkRank(rank: number, path: string, { inDim, outDim }: Change): void {
  const most = Math.min(inDim, outDim);
  if (rank <= most) return;
  throw new PeftError("adapter-config", {
    what: words`${option("rank")} is ${rank} at ${path}.`,
    why: `the layer's weight [${outDim}, ${inDim}] has no more than ${most} directions.`,
    fix: words`${option("rank", most)}, or ${option("energy", 0.99)}, which chooses a rank for each layer.`,
  });
}

function checkError(error: number, { maxError, rank }: ConvertOptions): void {
  if (maxError === undefined || error <= maxError) return;
  const energy = 1 - maxError ** 2;
  throw new PeftError("adapter-config", {
    what: words`The LoRA would miss ${error.toPrecision(3)} of the adapter's changes, and ${option("maxError")} is ${maxError}.`,
    why: `${rank === undefined ? "so much lies" : `a rank of ${rank} leaves so much`} outside of what is kept; nothing was written.`,
    fix: words`${option("energy", energy)} takes as many directions as that needs, or raise ${option("maxError")}.`,
  });
}

function relative(lost: number, energy: number): number {
  return energy === 0 ? 0 : Math.sqrt(lost / energy);
}
