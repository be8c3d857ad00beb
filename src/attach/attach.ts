// Over 400 lines: one function per part that a method can stand on, each called by `attach` alone.
import type { Adapter, AdapterTask, LoadedJson } from "../adapters/adapter.js";
import { AdapterDraft } from "../adapters/draft.js";
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
  PlaceMethod,
  PromptMethod,
  SublayerMethod,
} from "../methods/method.js";
import { at, entry } from "../present.js";
import { random } from "../random.js";
import type { Runtime } from "../run/runtime.js";
import { headModules, taskOf, tasks } from "../tasks/registry.js";
import { inputOf, inputsOf } from "../trace/inputs.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { prefixOf } from "../trace/write.js";
import { tieOf } from "../weights/tie.js";
import { option, type Words, words } from "../words.js";
import { addEntries, addSite } from "./add_site.js";
import { prepare } from "./prepare.js";
import { registeredOrder } from "./registered_order.js";
import { addParameters } from "./target_parameters.js";
import type { Matched } from "./targets.js";
import {
  allLinearPaths,
  isAllLinear,
  matchNorms,
  matchTargets,
  refuseAbsent,
  trainsWhole,
} from "./targets.js";
import { checkTensorSize } from "./tensor_sizes.js";
import { checkTies } from "./tie_checks.js";
import { savesTied, settledModules, tiedSelection } from "./ties.js";
import { inTodaysNames } from "./todays_names.js";
import { addTrainedRows } from "./trained_rows.js";
import { unmatchedWarnings } from "./unmatched.js";

/**
 * An adapter that was put on a model, what is worth a warning, and what must still be read from the base's
 * weights.
 */
export interface Attached {
  readonly adapter: Adapter;
  readonly warnings: readonly (string | Words)[];
  /**
   * Fills in starting values that depend on the base. Returns weights that the base must change to (PiSSA,
   * OLoRA).
   */
  readonly prepare: (runtime: Runtime) => Promise<ReadonlyMap<string, Float32Array>>;
}

export interface AttachOptions {
  readonly seed: number;
  /** Turns a prompt's text into ids (prompt tuning's TEXT). */
  readonly tokenize?: ((text: string) => readonly number[]) | undefined;
  /** The adapter's tensors come from a file: only the rows of a prompt, not its encoder, may be there. */
  readonly storedPrompt?: boolean;
  /**
   * The file that the adapter comes from. Such a one was made elsewhere: target names that no layer has are
   * worth a warning only, as Python lets them pass.
   */
  readonly file?: AttachedFile | undefined;
  /** Its task, where that is another than the base's: `spec` and `inventory` are of that one then. */
  readonly task?: AdapterTask | undefined;
}

/** What attaching needs of an adapter's file. */
export interface AttachedFile extends LoadedJson {
  /** Weights of the base in it, with other values than this base's. */
  readonly base?: readonly StoredBase[];
}

/** A weight of the base, as it was where an adapter was trained. */
export interface StoredBase {
  /** Its name in the file. */
  readonly savedKey: string;
  /** Names of the base's weights that it stands for: of an embedding, and of the head that is tied to it. */
  readonly names: readonly [string, ...string[]];
  readonly shape: readonly number[];
}

/** Puts a method on a model: finds its layers, makes its parameters. Needs no weights. */
export function attach<C extends AdapterConfig>(
  name: string,
  method: Method<C>,
  written: C,
  spec: ModelSpec,
  inventory: Inventory,
  options: AttachOptions,
): Attached {
  const roles = spec.architecture.roles;
  const { config, file } = inTodaysNames(written, spec, inventory, options.file);
  checkTasks(method, config, spec);
  const resolved =
    method.prompt?.resolve(config, promptShape(spec, config)) ??
    method.layers?.resolve?.(config, roles, () => allLinearPaths(spec, inventory)) ??
    config;
  const draft = new AdapterDraft(name, method, resolved, { ...options, file });
  const heads = headsToTrain(spec, inventory, file !== undefined);
  const modules = [...settledModules(config, tieOf(inventory)), ...heads];
  const warnings: (string | Words)[] = [];
  const next = random(options.seed, 0x0ada);
  if (method.layers !== undefined)
    warnings.push(...addLayers(draft, method.layers, { spec, inventory, next, modules, ...options }));
  if (method.prompt !== undefined) addPrompt(draft, method.prompt, spec, options, next);
  if (method.attention !== undefined) addAttentions(draft, method.attention, spec, inventory, next);
  if (method.sublayers !== undefined) addSublayers(draft, method.sublayers, spec, inventory, next);
  if (method.outputs !== undefined) addPlaces(draft, draft.outputs, method.outputs, inventory.outputs, next);
  addModules(draft, modules, inventory, warnings);
  warnings.push(...checkTies(draft, spec, inventory, options.file !== undefined));
  if (method.layers !== undefined) addBiases(draft, method.layers, inventory);
  for (const stored of options.file?.base ?? []) addStoredBase(draft, stored);
  recordJson(draft, spec, inventory, modules);
  if (draft.entries.size === 0)
    throw new PeftError("adapter-config", {
      what: `The ${method.config.peftType} adapter "${name}" has no parameters.`,
      why: "nothing of the model is adapted by this config.",
      fix: words`choose ${option("targetModules")} that exist.`,
    });
  // biome-ignore lint/suspicious/noExplicitAny: a Method<C> is a Method of its own configs only
  const adapter = draft.freeze() as Adapter<any>;
  return { adapter, warnings, prepare: (runtime) => prepare(adapter, runtime, options) };
}

/**
 * Modules of the task's heads, which train whole. Of tasks that PEFT does not know an adapter's file says all
 * of its modules: in a new one those that there are.
 */
function headsToTrain({ task }: ModelSpec, { weights }: Inventory, isLoaded: boolean): readonly string[] {
  if (taskOf(task).byClass !== true) return headModules(task);
  const all = [...weights.keys()].flatMap(places);
  return isLoaded ? [] : headModules(task).filter((name) => all.some((path) => trainsWhole(path, name)));
}

/** Throws "adapter-config" where a method is not for the model's task. */
function checkTasks<C extends AdapterConfig>(method: Method<C>, config: C, { task }: ModelSpec): void {
  const tasks = method.tasks?.(config);
  if (tasks === undefined || tasks.includes(task)) return;
  throw new PeftError("adapter-config", {
    what: `This ${config.peftType} adapter cannot stand on a model for ${task}.`,
    why: `it is for ${tasks.join(" and ")} alone, as in Python's PEFT.`,
    fix: "load the base for that task, or choose another method.",
  });
}

/** What Python's config says once it has met the model: default targets, heads that train along. */
function recordJson<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  spec: ModelSpec,
  { linears }: Inventory,
  modules: readonly string[],
): void {
  const { config, method } = draft;
  const targets = method?.layers?.select(config).targetModules;
  const adapted = [...draft.layers.keys()];
  if (targets === undefined && method?.layers !== undefined)
    draft.json.set("target_modules", method.layers.defaults(spec.architecture.roles));
  if (isAllLinear(targets)) draft.json.set("target_modules", adapted);
  if (targets === undefined && method?.layers?.tokensSaved?.copies)
    draft.json.set("target_modules", [...draft.tokens.keys()][0]);
  const copies = method?.layers?.copies;
  if (targets === undefined && copies !== undefined) {
    const norms = [...draft.replaced].filter(([, key]) => key.includes(copies));
    draft.json.set("target_modules", [...new Set(norms.map(([name]) => at(name.split("."), -2)))]);
  }
  const transposed = adapted.map((path) => linears.get(path)?.transposed ?? false).at(-1);
  if (transposed !== undefined && "fanInFanOut" in (method?.config.options ?? {}))
    draft.json.set("fan_in_fan_out", transposed);
  if (modules.length > 0) draft.json.set("modules_to_save", [...new Set(modules)]);
  draft.json.set("task_type", config.taskType ?? spec.task);
  if (method?.files === undefined) return;
  draft.json.set("hidden_size", spec.config.hiddenSize);
  draft.json.set("model_type", spec.config.modelType);
  draft.json.set("name", draft.name);
}

/**
 * `submodules`: stacks that get a prompt each. A config that says its task means a decoder only where one
 * writes the answer.
 */
function promptShape(
  { config, task, architecture }: ModelSpec,
  { taskType }: AdapterConfig,
): Parameters<PromptMethod<AdapterConfig>["resolve"]>[1] {
  const { hiddenSize: hidden, layers, cache, encoderDecoder, modelType } = config;
  if (inputOf(inputsOf({ architecture, config }), "tokens") === undefined)
    throw new PeftError("adapter-config", {
      what: "This method adds virtual tokens.",
      why: `a ${modelType} model reads no tokens that they could stand before.`,
      fix: "use a method on layers: new LoraConfig().",
    });
  const isTwice = taskType === undefined ? encoderDecoder : taskOf(task).labels === "target";
  return { hidden, heads: cache.kvHeads, layers, submodules: isTwice ? 2 : 1, cache };
}

const NOTHING: Matched = {
  linears: [],
  embeddings: [],
  convs: [],
  unmatched: [],
  idleExclusion: undefined,
  containers: [],
};

interface LayerOptions extends Pick<AttachOptions, "file"> {
  readonly spec: ModelSpec;
  readonly inventory: Inventory;
  readonly next: () => number;
  /** Modules that train whole. */
  readonly modules: readonly string[];
}

function addLayers<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  layers: LayerMethod<C>,
  model: LayerOptions,
): (string | Words)[] {
  const { spec, inventory, next, modules, file } = model;
  const { config } = draft;
  if (layers.tokens !== undefined) addTrainedRows(draft, layers, spec, inventory);
  const { linear, embedding, conv, copies } = layers;
  const defaults = layers.defaults(spec.architecture.roles);
  const selection = tiedSelection(config, layers.select(config), tieOf(inventory));
  if (copies !== undefined)
    addCopies(draft, copies, inventory, matchNorms(spec, inventory, selection, defaults));
  if (linear === undefined) return [];
  const whole = taskOf(spec.task).labels === "row" ? modules : settledModules(config, tieOf(inventory));
  const parameters = layers.parameters?.(config) ?? [];
  const isLeftOut = parameters.length > 0 && (selection.targetModules ?? []).length === 0;
  const matched = isLeftOut ? NOTHING : matchTargets(spec, inventory, selection, defaults, whole);
  const { embeddings, linears, convs } = matched;
  if (embedding === undefined) refuseKind(config, embeddings, "embeddings");
  if (conv === undefined) refuseKind(config, convs, "convolutions");
  const order = registeredOrder([...inventory.linears.values()], spec.architecture.roles.registered);
  const all = [...embeddings, ...convs, ...order.filter((site) => linears.includes(site))];
  for (const site of embeddings)
    if (embedding !== undefined)
      addSite(draft, draft.layers, bindLayer(embedding, site, config, all), next, site.vocab * site.dim);
  for (const site of convs)
    if (conv !== undefined) {
      const held = (inventory.weights.get(site.weight) ?? []).reduce((a, b) => a * b, 1);
      addSite(draft, draft.layers, bindLayer(conv, site, config, all), next, held);
    }
  for (const site of linears)
    addSite(draft, draft.layers, bindLayer(linear, site, config, all), next, site.inDim * site.outDim);
  const named = addParameters(draft, layers, parameters, spec, inventory, next);
  const warnings = unmatchedWarnings(config, matched, named);
  const largest = Math.max(...matched.linears.map(({ inDim, outDim }) => inDim * outDim));
  addEntries(draft, undefined, layers.shared?.(config, linears, embeddings) ?? [], next, largest);
  for (const { path } of matched.linears)
    for (const key of linear.sharedCopies ?? []) {
      if (draft.entry(key).savedKey === undefined) continue; // made anew from its seed
      const full = `${path}.${key}`;
      draft.addCopy(full, `base_model.model.${full}`, key);
    }
  if (matched.unmatched.length === 0) return warnings;
  if (file === undefined) refuseAbsent(spec, inventory, matched.unmatched);
  return [
    ...warnings,
    words`${option("targetModules")} ${JSON.stringify(matched.unmatched)} match no layer; the others of the list do.`,
  ];
}

/** Layers of a kind that a method does not stand on. Throws "adapter-targets". */
function refuseKind(
  { peftType }: AdapterConfig,
  sites: readonly { readonly path: string }[],
  kind: "embeddings" | "convolutions",
): void {
  if (sites.length === 0) return;
  throw new PeftError("adapter-targets", {
    what: `${peftType} cannot adapt ${sites.map(({ path }) => path).join(", ")}.`,
    why: `it works on linear layers, and these are ${kind}.`,
    fix: words`leave them out of ${option("targetModules")}.`,
  });
}

/** Sublayers or modules' results that a method chooses itself. */
function addPlaces<C extends AdapterConfig, S extends SublayerSite | OutputSite, At>(
  draft: AdapterDraft<C>,
  sites: Map<string, AdaptedSite<At>>,
  method: PlaceMethod<C, S, At> & { readonly select: (c: C, site: S) => boolean },
  places: ReadonlyMap<string, S>,
  next: () => number,
): void {
  const { config } = draft;
  const all = [...places.values()].filter((site) => method.select(config, site));
  for (const site of all) {
    const width = "hidden" in site ? site.hidden : site.dim;
    addSite(draft, sites, bindSite(method, site, config, all), next, width ** 2);
  }
}

function addSublayers<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  method: SublayerMethod<C>,
  spec: ModelSpec,
  { sublayers }: Inventory,
  next: () => number,
): void {
  addPlaces(draft, draft.sublayers, method, sublayers, next);
  const chosen = [...sublayers.values()].filter(({ path }) => draft.sublayers.has(path));
  if (chosen.length === 0)
    throw new PeftError("adapter-targets", {
      what: `${draft.method?.config.peftType} stands nowhere on this model.`,
      why: `its layers have ${[...new Set([...sublayers.values()].map(({ does }) => does))].join(" and ")}, and the config chooses none of them.`,
      fix: "choose one that is there, and leave one layer in at least.",
    });
  const widest = Math.max(...chosen.map(({ hidden }) => hidden));
  const prefix = taskOf(spec.task).head.isBare ? "" : prefixOf(spec);
  const root = prefix === "" ? "" : `${prefix}.`;
  const place = `base_model.model.${root}shared_parameters.`;
  addEntries(draft, undefined, method.shared?.(draft.config, chosen) ?? [], next, widest ** 2, place);
}

function addAttentions<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  method: AttentionMethod<C>,
  spec: ModelSpec,
  { attentions }: Inventory,
  next: () => number,
): void {
  const { config } = draft;
  const name = method.module(config) ?? spec.architecture.roles.attention;
  const sites = [...attentions.values()].filter(
    ({ path }) => name !== undefined && path.endsWith(`.${name}`),
  );
  const count = method.layers(config);
  if (name === undefined || count > sites.length)
    throw new PeftError("adapter-targets", {
      what: `${config.peftType} needs ${count} attention layers${name === undefined ? "" : ` named "${name}"`}.`,
      why:
        attentions.size === 0
          ? `a ${spec.config.modelType} model is not known to it; Llama and Mistral are.`
          : `this ${spec.config.modelType} checkpoint has ${sites.length} of ${attentions.size}.`,
      fix: sites.length > 0 ? `at most ${sites.length} layers.` : "use another method, or another model.",
    });
  const chosen = sites.slice(-count);
  for (const site of chosen)
    addSite(draft, draft.attentions, bindSite(method, site, config, chosen), next, site.hidden ** 2);
  draft.json.set("target_modules", name);
}

function addPrompt<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  prompt: PromptMethod<C>,
  spec: ModelSpec,
  options: AttachOptions,
  next: () => number,
): void {
  const { config } = draft;
  const held = spec.config.hiddenSize ** 2;
  checkTensorSize(config, "the prompt", { key: "prompt_embeddings", shape: prompt.shape(config) }, held);
  const stored = options.storedPrompt === true && prompt.tables(config) === undefined;
  draft.prompt = stored ? "stored" : "encoder";
  if (stored) {
    draft.add({ key: "prompt_embeddings", savedKey: undefined, shape: prompt.shape(config) });
    return;
  }
  for (const { key, shape, initial, frozen } of prompt.parameters(config)) {
    checkTensorSize(config, "the prompt", { key, shape }, held);
    const fill = (data: Float32Array): void => initialize(data, shape, initial, next);
    const savedKey = prompt.saved?.includes(key) ? key : undefined;
    const counted = frozen === undefined || frozen === "counted";
    draft.add({ key: `prompt_encoder.${key}`, savedKey, shape, frozen: frozen !== undefined, counted, fill });
  }
}

/** Every weight, and a tied head's by the name that it would have of its own. */
function ownWeights(inventory: Inventory): Map<string, readonly number[]> {
  const own = new Map(inventory.weights);
  const tie = tieOf(inventory);
  if (tie !== undefined) own.set(tie.own, entry(inventory.weights, tie.embedding.weight));
  return own;
}

/** The modules that a weight is in, inside out: a.b.weight is in a.b and in a. */
function places(name: string): string[] {
  const parts = name.split(".");
  return parts.slice(1).map((_, i) => parts.slice(0, parts.length - 1 - i).join("."));
}

/** Norms that train whole, under names of their own. */
function addCopies<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  ending: string,
  inventory: Inventory,
  norms: ReadonlySet<string>,
): void {
  for (const [name, shape] of inventory.weights) {
    const at = name.lastIndexOf(".");
    if (!norms.has(name.slice(0, at))) continue;
    const key = `${name.slice(0, at)}.${ending}${name.slice(at)}`;
    draft.replaced.set(name, key);
    draft.add({ key, savedKey: `base_model.model.${key}`, shape });
  }
}

/** Whole modules that train: the adapter has tensors of its own in their place. */
function addModules<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  modules: readonly string[],
  inventory: Inventory,
  warnings: (string | Words)[],
): void {
  const prefix = draft.method?.prompt === undefined ? "base_model.model." : "base_model.";
  const matched = new Set<string>();
  const tie = savesTied(draft.config) ? tieOf(inventory) : undefined;
  for (const [name, shape] of ownWeights(inventory)) {
    const path = places(name).findLast((path) => modules.some((m) => trainsWhole(path, m)));
    if (path === undefined) continue;
    for (const module of modules) if (places(name).some((p) => trainsWhole(p, module))) matched.add(module);
    draft.replaced.set(name, name);
    draft.whole.set(name, path);
    // PEFT counts the base's own beside them; where they are in its place, they are counted once
    draft.add({ key: name, savedKey: prefix + name, shape, counted: draft.method?.files === undefined });
    if (tie === undefined || name !== tie.embedding.weight) continue;
    draft.replaced.set(tie.own, name);
    draft.whole.set(tie.own, tie.head.path);
    draft.addCopy(tie.own, prefix + tie.own, name);
  }
  const unknown = modules.filter((m) => !matched.has(m));
  const heads = tasks.all.flatMap(({ name }) => headModules(name));
  if (unknown.some((m) => !heads.includes(m)))
    warnings.push(words`${option("modulesToSave")} ${JSON.stringify(unknown)} name no module of this model.`);
}

function addBiases<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  layers: LayerMethod<C>,
  inventory: Inventory,
): void {
  const bias = layers.bias?.(draft.config) ?? "none";
  if (bias === "none") return;
  for (const [name, shape] of inventory.weights) {
    if (!name.endsWith(".bias") || draft.replaced.has(name)) continue;
    const path = name.slice(0, -".bias".length);
    const adapted = draft.layers.has(path);
    if (bias !== "all" && !adapted) continue;
    const key = adapted ? `${path}.base_layer.bias` : name;
    draft.replaced.set(name, key);
    // in the base's place: Python counts it among the base's own
    draft.add({ key, savedKey: `base_model.model.${key}`, shape, counted: false });
  }
}

/** Frozen: it changes the model to what the adapter was trained on. */
function addStoredBase<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  { names, savedKey, shape }: StoredBase,
): void {
  const [key] = names;
  for (const name of names) draft.replaced.set(name, key);
  draft.add({ key, savedKey, shape, frozen: true });
}
