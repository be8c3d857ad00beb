import { Adapter } from "../adapters/adapter.js";
import { initialize } from "../adapters/initialize.js";
import type { AdaptedSite } from "../adapters/site.js";
import { bindLayer, bindSite } from "../adapters/site.js";
import { PeftError } from "../errors.js";
import type { OutputSite, SublayerSite } from "../graph/module.js";
import type {
  AdapterConfig,
  AttentionMethod,
  LayerMethod,
  Method,
  ParameterSpec,
  PlaceMethod,
  PromptMethod,
} from "../methods/method.js";
import { random } from "../random.js";
import type { Runtime } from "../run/runtime.js";
import { headModules, taskOf, tasks } from "../tasks/registry.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { tieOf } from "../weights/tie.js";
import { option, type Words, words } from "../words.js";
import { isAllLinear, matchNorms, matchTargets, refuseAbsent, trainsWhole } from "./targets.js";
import { checkTensorSize } from "./tensor_sizes.js";
import { checkTies } from "./tie_checks.js";
import { savesTied, settledModules, tiedSelection } from "./ties.js";
import { addTrainedRows } from "./trained_rows.js";
import { unmatchedWarnings } from "./unmatched.js";

/** An adapter that was put on a model, what is worth a warning, and what must still be read from the base's weights. */
export interface Attached {
  readonly adapter: Adapter;
  readonly warnings: readonly (string | Words)[];
  /** Fills in starting values that depend on the base. Returns weights that the base must change to (PiSSA, OLoRA). */
  readonly prepare: (runtime: Runtime) => Promise<ReadonlyMap<string, Float32Array>>;
}

export interface AttachOptions {
  readonly seed: number;
  /** Turns a prompt's text into ids (prompt tuning's TEXT). */
  readonly tokenize?: ((text: string) => readonly number[]) | undefined;
  /** The adapter's tensors come from a file: only the rows of a prompt, not its encoder, may be there. */
  readonly storedPrompt?: boolean;
  /** The adapter was made elsewhere: target names that no layer has are worth a warning only, as Python lets them pass. */
  readonly fromFile?: boolean;
}

/** Puts a method on a model: finds its layers, makes its parameters. Needs no weights. */
export function attach<C extends AdapterConfig>(
  name: string,
  method: Method<C>,
  config: C,
  spec: ModelSpec,
  inventory: Inventory,
  options: AttachOptions,
): Attached {
  const roles = spec.architecture.roles;
  const resolved =
    method.prompt?.resolve(config, promptShape(spec, config)) ??
    method.layers?.resolve?.(config, roles) ??
    config;
  const adapter = new Adapter(name, method, resolved);
  const modules = [...settledModules(config, tieOf(inventory)), ...headModules(spec.task)];
  const warnings: (string | Words)[] = [];
  const next = random(options.seed, 0x0ada);
  if (method.layers !== undefined)
    warnings.push(...addLayers(adapter, method.layers, { spec, inventory, next, modules, ...options }));
  if (method.prompt !== undefined) addPrompt(adapter, method.prompt, spec, options, next);
  if (method.attention !== undefined) addAttentions(adapter, method.attention, spec, inventory, next);
  if (method.sublayers !== undefined)
    addPlaces(adapter, adapter.sublayers, method.sublayers, inventory.sublayers, next);
  if (method.outputs !== undefined)
    addPlaces(adapter, adapter.outputs, method.outputs, inventory.outputs, next);
  addModules(adapter, modules, inventory, warnings);
  warnings.push(...checkTies(adapter, spec, inventory, options.fromFile ?? false));
  if (method.layers !== undefined) addBiases(adapter, method.layers, inventory);
  recordJson(adapter, spec, inventory, modules);
  if (adapter.entries.size === 0)
    throw new PeftError("adapter-config", {
      what: `The ${method.config.peftType} adapter "${name}" has no parameters.`,
      why: "nothing of the model is adapted by this config.",
      fix: words`choose ${option("targetModules")} that exist.`,
    });
  // biome-ignore lint/suspicious/noExplicitAny: a Method<C> is a Method of its own configs only
  const whole = adapter as Adapter<any>;
  return { adapter: whole, warnings, prepare: (runtime) => prepare(whole, runtime, options) };
}

/** What Python's config says once it has met the model: default targets, heads that train along. */
function recordJson<C extends AdapterConfig>(
  adapter: Adapter<C>,
  spec: ModelSpec,
  { linears }: Inventory,
  modules: readonly string[],
): void {
  const { config, method } = adapter;
  const targets = method?.layers?.select(config).targetModules;
  const adapted = [...adapter.layers.keys()];
  if (targets === undefined && method?.layers !== undefined)
    adapter.json.set("target_modules", method.layers.defaults(spec.architecture.roles));
  if (isAllLinear(targets)) adapter.json.set("target_modules", adapted);
  if (targets === undefined && method?.layers?.tokensSaved?.copies)
    adapter.json.set("target_modules", [...adapter.tokens.keys()][0]);
  const copies = method?.layers?.copies;
  if (targets === undefined && copies !== undefined) {
    const norms = [...adapter.replaced].filter(([, key]) => key.includes(copies));
    adapter.json.set("target_modules", [...new Set(norms.map(([name]) => name.split(".").at(-2)!))]);
  }
  const transposed = adapted.map((path) => linears.get(path)?.transposed ?? false).at(-1);
  if (transposed !== undefined && "fanInFanOut" in (method?.config.options ?? {}))
    adapter.json.set("fan_in_fan_out", transposed);
  if (modules.length > 0) adapter.json.set("modules_to_save", [...new Set(modules)]);
  adapter.json.set("task_type", config.taskType ?? spec.task);
}

/** `submodules`: stacks that get a prompt each. A config that says its task means a decoder only where one writes the answer. */
function promptShape(
  { config, task }: ModelSpec,
  { taskType }: AdapterConfig,
): Parameters<PromptMethod<AdapterConfig>["resolve"]>[1] {
  const { hiddenSize: hidden, layers, cache, encoderDecoder } = config;
  const isTwice = taskType === undefined ? encoderDecoder : taskOf(task).labels === "target";
  return { hidden, heads: cache.kvHeads, layers, submodules: isTwice ? 2 : 1, cache };
}

interface LayerOptions extends Pick<AttachOptions, "fromFile"> {
  readonly spec: ModelSpec;
  readonly inventory: Inventory;
  readonly next: () => number;
  /** Modules that train whole. */
  readonly modules: readonly string[];
}

function addLayers<C extends AdapterConfig>(
  adapter: Adapter<C>,
  layers: LayerMethod<C>,
  model: LayerOptions,
): (string | Words)[] {
  const { spec, inventory, next, modules, fromFile = false } = model;
  const { config } = adapter;
  if (layers.tokens !== undefined) addTrainedRows(adapter, layers, spec, inventory);
  const { linear, copies } = layers;
  const defaults = layers.defaults(spec.architecture.roles);
  const selection = tiedSelection(config, layers.select(config), tieOf(inventory));
  if (copies !== undefined)
    addCopies(adapter, copies, inventory, matchNorms(spec, inventory, selection, defaults));
  if (linear === undefined) return [];
  const whole = taskOf(spec.task).labels === "row" ? modules : settledModules(config, tieOf(inventory));
  const matched = matchTargets(spec, inventory, selection, defaults, whole);
  const warnings = unmatchedWarnings(config, matched);
  if (matched.embeddings.length > 0 && layers.embedding === undefined)
    throw new PeftError("adapter-targets", {
      what: `${adapter.method!.config.peftType} cannot adapt ${matched.embeddings.map((e) => e.path).join(", ")}.`,
      why: "it works on linear layers, and these are embeddings.",
      fix: words`leave them out of ${option("targetModules")}.`,
    });
  for (const site of matched.embeddings) {
    const bound = bindLayer(layers.embedding!, site, config);
    addSite(adapter, adapter.layers, bound, next, site.vocab * site.dim);
  }
  for (const site of matched.linears) {
    addSite(adapter, adapter.layers, bindLayer(linear, site, config), next, site.inDim * site.outDim);
  }
  const largest = Math.max(...matched.linears.map(({ inDim, outDim }) => inDim * outDim));
  addEntries(adapter, undefined, layers.shared?.(config, matched.linears) ?? [], next, largest);
  for (const { path } of matched.linears)
    for (const key of linear.sharedCopies ?? []) {
      const full = `${path}.${key}`;
      adapter.addCopy(full, `base_model.model.${full}`, key);
    }
  if (matched.unmatched.length === 0) return warnings;
  if (!fromFile) refuseAbsent(spec, inventory, matched.unmatched);
  return [
    ...warnings,
    words`${option("targetModules")} ${JSON.stringify(matched.unmatched)} match no layer; the others of the list do.`,
  ];
}

/** A layer's parameters, or those that all layers share; `held`: how many numbers the layer's own weight has. */
function addEntries<C extends AdapterConfig>(
  adapter: Adapter<C>,
  path: string | undefined,
  specs: readonly ParameterSpec[],
  next: () => number,
  held: number,
): void {
  for (const { key, shape, initial, free, frozen } of specs) {
    checkTensorSize(adapter.config, path ?? "all layers", { key, shape }, held);
    const graphShape = shape.map((d, i) => (free?.includes(i) ? `rank.${adapter.sites.length}` : d));
    const full = path === undefined ? key : `${path}.${key}`;
    const saved = path === undefined ? `base_model.${key}` : `base_model.model.${full}`;
    adapter.add({
      key: full,
      savedKey: frozen === "derived" || frozen === "counted" ? undefined : saved,
      shape,
      graphShape,
      frozen: frozen !== undefined,
      counted: frozen === undefined || frozen === "counted",
      dtype: frozen === "saved i32" ? "i32" : "f32",
      fill: (data) => initialize(data, shape, initial, next),
    });
  }
}

/** Puts a bound method on its place. */
function addSite<C extends AdapterConfig, At>(
  adapter: Adapter<C>,
  sites: Map<string, AdaptedSite<At>>,
  site: AdaptedSite<At>,
  next: () => number,
  held: number,
): void {
  sites.set(site.path, site);
  addEntries(adapter, site.path, site.specs, next, held);
}

/** Sublayers or modules' results that a method chooses itself. */
function addPlaces<C extends AdapterConfig, S extends SublayerSite | OutputSite, At>(
  adapter: Adapter<C>,
  sites: Map<string, AdaptedSite<At>>,
  method: PlaceMethod<C, S, At> & { readonly select: (c: C, site: S) => boolean },
  places: ReadonlyMap<string, S>,
  next: () => number,
): void {
  const { config } = adapter;
  for (const site of [...places.values()].filter((site) => method.select(config, site))) {
    const width = "hidden" in site ? site.hidden : site.dim;
    addSite(adapter, sites, bindSite(method, site, config), next, width ** 2);
  }
}

function addAttentions<C extends AdapterConfig>(
  adapter: Adapter<C>,
  method: AttentionMethod<C>,
  spec: ModelSpec,
  { attentions }: Inventory,
  next: () => number,
): void {
  const { config } = adapter;
  const name = method.module(config) ?? spec.architecture.roles.attention;
  const sites = [...attentions.values()].filter(
    ({ path }) => name !== undefined && path.endsWith(`.${name}`),
  );
  const count = method.layers(config);
  if (name === undefined || count > sites.length)
    throw new PeftError("adapter-targets", {
      what: `${adapter.method!.config.peftType} needs ${count} attention layers${name === undefined ? "" : ` named "${name}"`}.`,
      why:
        attentions.size === 0
          ? `a ${spec.config.modelType} model is not known to it; Llama and Mistral are.`
          : `this ${spec.config.modelType} checkpoint has ${sites.length} of ${attentions.size}.`,
      fix: sites.length > 0 ? `at most ${sites.length} layers.` : "use another method, or another model.",
    });
  for (const site of sites.slice(-count)) {
    addSite(adapter, adapter.attentions, bindSite(method, site, config), next, site.hidden ** 2);
  }
  adapter.json.set("target_modules", name);
}

function addPrompt<C extends AdapterConfig>(
  adapter: Adapter<C>,
  prompt: PromptMethod<C>,
  spec: ModelSpec,
  options: AttachOptions,
  next: () => number,
): void {
  const { config } = adapter;
  const held = spec.config.hiddenSize ** 2;
  checkTensorSize(config, "the prompt", { key: "prompt_embeddings", shape: prompt.shape(config) }, held);
  const stored = options.storedPrompt === true && prompt.table(config) === undefined;
  adapter.prompt = stored ? "stored" : "encoder";
  if (stored) {
    adapter.add({ key: "prompt_embeddings", savedKey: undefined, shape: prompt.shape(config) });
    return;
  }
  for (const { key, shape, initial } of prompt.parameters(config)) {
    checkTensorSize(config, "the prompt", { key, shape }, held);
    const fill = (data: Float32Array): void => initialize(data, shape, initial, next);
    adapter.add({ key: `prompt_encoder.${key}`, savedKey: undefined, shape, fill });
  }
}

/** Every weight, and a tied head's by the name that it would have of its own. */
function ownWeights(inventory: Inventory): Map<string, readonly number[]> {
  const own = new Map(inventory.weights);
  const tie = tieOf(inventory);
  if (tie !== undefined) own.set(tie.own, inventory.weights.get(tie.embedding.weight)!);
  return own;
}

/** The modules that a weight is in, inside out: a.b.weight is in a.b and in a. */
function places(name: string): string[] {
  const parts = name.split(".");
  return parts.slice(1).map((_, i) => parts.slice(0, parts.length - 1 - i).join("."));
}

/** Norms that train whole, under names of their own. */
function addCopies<C extends AdapterConfig>(
  adapter: Adapter<C>,
  ending: string,
  inventory: Inventory,
  norms: ReadonlySet<string>,
): void {
  for (const [name, shape] of inventory.weights) {
    const at = name.lastIndexOf(".");
    if (!norms.has(name.slice(0, at))) continue;
    const key = `${name.slice(0, at)}.${ending}${name.slice(at)}`;
    adapter.replaced.set(name, key);
    adapter.add({ key, savedKey: `base_model.model.${key}`, shape });
  }
}

/** Whole modules that train: the adapter has tensors of its own in their place. */
function addModules<C extends AdapterConfig>(
  adapter: Adapter<C>,
  modules: readonly string[],
  inventory: Inventory,
  warnings: (string | Words)[],
): void {
  const prefix = adapter.method?.prompt === undefined ? "base_model.model." : "base_model.";
  const matched = new Set<string>();
  const tie = savesTied(adapter.config) ? tieOf(inventory) : undefined;
  for (const [name, shape] of ownWeights(inventory)) {
    const path = places(name).findLast((path) => modules.some((m) => trainsWhole(path, m)));
    if (path === undefined) continue;
    for (const module of modules) if (places(name).some((p) => trainsWhole(p, module))) matched.add(module);
    adapter.replaced.set(name, name);
    adapter.whole.set(name, path);
    adapter.add({ key: name, savedKey: prefix + name, shape });
    if (tie === undefined || name !== tie.embedding.weight) continue;
    adapter.replaced.set(tie.own, name);
    adapter.whole.set(tie.own, tie.head.path);
    adapter.addCopy(tie.own, prefix + tie.own, name);
  }
  const unknown = modules.filter((m) => !matched.has(m));
  const heads = tasks.all.flatMap(({ name }) => headModules(name));
  if (unknown.some((m) => !heads.includes(m)))
    warnings.push(words`${option("modulesToSave")} ${JSON.stringify(unknown)} name no module of this model.`);
}

function addBiases<C extends AdapterConfig>(
  adapter: Adapter<C>,
  layers: LayerMethod<C>,
  inventory: Inventory,
): void {
  const bias = layers.bias?.(adapter.config) ?? "none";
  if (bias === "none") return;
  for (const [name, shape] of inventory.weights) {
    if (!name.endsWith(".bias") || adapter.replaced.has(name)) continue;
    const path = name.slice(0, -".bias".length);
    const adapted = adapter.layers.has(path);
    if (bias !== "all" && !adapted) continue;
    const key = adapted ? `${path}.base_layer.bias` : name;
    adapter.replaced.set(name, key);
    // in the base's place: Python counts it among the base's own
    adapter.add({ key, savedKey: `base_model.model.${key}`, shape, counted: false });
  }
}

/** Everything that starts from the base's weights: copies of modules and biases, token rows, decompositions. */
async function prepare(
  adapter: Adapter,
  runtime: Runtime,
  options: AttachOptions,
): Promise<ReadonlyMap<string, Float32Array>> {
  const next = random(options.seed, 0x9e4);
  await copyFromBase(adapter, runtime);
  const residuals = await prepareSites(adapter, runtime, next);
  await startPrompt(adapter, runtime, options, next);
  adapter.touch();
  return residuals;
}

async function copyFromBase(adapter: Adapter, runtime: Runtime): Promise<void> {
  for (const [name, key] of adapter.replaced) adapter.entry(key).data.set(await runtime.weight(name));
  for (const [path, { ids, entry }] of adapter.tokens) {
    const table = await runtime.weight(`${path}.weight`);
    const { data: rows, shape } = adapter.entry(entry);
    const dim = shape[1]!;
    for (const [i, id] of ids.entries()) rows.set(table.subarray(id * dim, (id + 1) * dim), i * dim);
  }
}

async function prepareSites(
  adapter: Adapter,
  runtime: Runtime,
  next: () => number,
): Promise<Map<string, Float32Array>> {
  const residuals = new Map<string, Float32Array>();
  for (const { path, weight, prepare } of adapter.sites) {
    if (prepare === undefined || weight === undefined) continue;
    const prepared = prepare(await runtime.weight(weight), next);
    for (const [key, data] of Object.entries(prepared?.parameters ?? {}))
      adapter.entry(`${path}.${key}`).data.set(data);
    if (prepared?.weight !== undefined) residuals.set(weight, prepared.weight);
  }
  return residuals;
}

/** Prompt tuning from rows of the vocabulary or from a text. */
async function startPrompt(
  adapter: Adapter,
  runtime: Runtime,
  { tokenize }: AttachOptions,
  next: () => number,
): Promise<void> {
  const { method, config } = adapter;
  const table = method?.prompt?.table(config);
  const embedding = [...runtime.weights.inventory.embeddings.values()][0];
  if (method?.prompt?.initialTokens === undefined || table === undefined || embedding === undefined) return;
  const ids = method.prompt.initialTokens(config, embedding.vocab, next, tokenize);
  if (ids === undefined) return;
  const rows = adapter.entry(`prompt_encoder.${table}`).data;
  const { dim } = embedding;
  const all = await runtime.weight(embedding.weight);
  for (let i = 0; i * dim < rows.length; i++) {
    const id = ids[i % ids.length]!;
    rows.set(all.subarray(id * dim, (id + 1) * dim), i * dim);
  }
}
