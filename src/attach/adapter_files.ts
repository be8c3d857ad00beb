import type { Adapter } from "../adapters/adapter.js";
import type { Entry } from "../adapters/entry.js";
import { internal, namingFile, PeftError } from "../errors.js";
import { isLibraryAdapter, LIBRARY_FILES, libraryName } from "../hub/adapters_library.js";
import { nodeFiles } from "../hub/files.js";
import { formatJson, parseJsonWithFloats } from "../hub/json.js";
import { writeSafetensors } from "../hub/tensors/safetensors.js";
import type { AdapterConfig, Method } from "../methods/method.js";
import { methods } from "../methods/registry.js";
import { isRecord } from "../narrow.js";
import { optionKey, pythonName } from "../options.js";
import { at } from "../present.js";
import type { Runtime } from "../run/runtime.js";
import type { TaskType } from "../task.js";
import { isTaskType, taskOf, taskOfClass } from "../tasks/registry.js";
import type { Inventory } from "../trace/trace.js";
import { option, type ShowOption, toCode, words } from "../words.js";
import { fromLibrary, headConfig, isLibraryJson, toLibrary } from "./adapters_library.js";
import { CLASSES_FILE, type ClassFields } from "./class_names.js";
import { unknownMethod } from "./foreign_adapters.js";
import { modelCard } from "./model_card.js";
import { isAllLinear, named } from "./targets.js";
import { EMBEDDING_NAMES } from "./ties.js";

/** The prompt encoder's own tensors: Python ignores this file, and we can go on training from it. */
export const ENCODER_FILE = "adapter_prompt_encoder.safetensors";

export interface AdapterFile {
  readonly method: Method;
  readonly config: AdapterConfig;
  readonly json: Readonly<Record<string, unknown>>;
  readonly floats: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

/** The method that answers to a peft_type or a name. Throws "unknown-method", which lists what is known. */
export function methodOf(peftType: unknown, json?: Readonly<Record<string, unknown>>, path?: string): Method {
  const found = methods.find(peftType);
  if (found !== undefined) return found;
  throw unknownMethod(peftType, json, path);
}

/**
 * adapter_config.json as it stands. Throws "file-format" where the folder holds no adapter, saying what it
 * holds.
 */
export async function readAdapterJson(folder: string): Promise<Readonly<Record<string, unknown>>> {
  return (await parseAdapterJson(folder)).json;
}

async function parseAdapterJson(folder: string): Promise<Pick<AdapterFile, "json" | "floats">> {
  const path = configPath(folder);
  if (!(await nodeFiles.exists(path))) throw await noAdapter(folder);
  const { value, floats } = parseJsonWithFloats(await nodeFiles.text(path), path);
  if (isRecord(value)) return { json: isLibraryJson(value) ? fromLibrary(value, path) : value, floats };
  throw new PeftError("file-format", {
    what: `"${path}" is no adapter's config.`,
    why: `it holds ${JSON.stringify(value).slice(0, 40)}, not an object.`,
    fix: "take it anew from where the adapter was saved.",
  });
}

/**
 * Reads adapter_config.json. Unknown keys are dropped with a warning, as Python drops those of newer
 * versions. Throws "unknown-method" and "adapter-config", which name the file.
 */
export async function readAdapterConfig(folder: string): Promise<AdapterFile> {
  const { json, floats } = await parseAdapterJson(folder);
  const path = configPath(folder);
  const method = methodOf(json["peft_type"], json, path);
  const isKnown = (key: string): boolean => Object.hasOwn(method.config.fields, key);
  const known = Object.fromEntries(Object.entries(json).filter(([key]) => isKnown(key)));
  const unknown = Object.keys(json).filter((key) => !isKnown(key));
  const { fields, notes } = method.fromFile?.(known) ?? { fields: known, notes: [] };
  const task = json["task_type"] ?? taskOfMapping(json["auto_mapping"]);
  const warnings = [
    ...(unknown.length === 0 ? [] : [`adapter_config.json has unknown keys, which are ignored: ${unknown}.`]),
    ...notes,
  ];
  const config = namingFile(
    path,
    () => method.config.create(task === undefined ? fields : { ...fields, task_type: task }),
    inFile,
  );
  return { method, config, json: known, floats, warnings };
}

/** Options as a file has them: "lora_alpha": 8. */
export const inFile: ShowOption = ({ name, value }) =>
  value === undefined ? pythonName(name) : `"${pythonName(name)}": ${JSON.stringify(value)}`;

export const configPath = (folder: string): string => nodeFiles.join(folder, "adapter_config.json");

async function noAdapter(folder: string): Promise<PeftError> {
  const names = await nodeFiles.list(folder);
  const below: string[] = [];
  for (const name of names)
    if (await nodeFiles.exists(nodeFiles.join(folder, name, "adapter_config.json"))) below.push(name);
  const checkpoint = await newestCheckpoint(folder);
  if (checkpoint !== undefined)
    return new PeftError("file-format", {
      what: `The run in "${folder}" stopped at step ${checkpoint.step}, before its end.`,
      why: "a run leaves its adapter there when it ends; until then its checkpoints hold one each.",
      fix: words`go on with that run by the command that began it, or take its newest checkpoint: ${option("adapter", checkpoint.path, JSON.stringify(checkpoint.path))}.`,
    });
  return new PeftError("file-format", {
    what: `"${folder}" holds no adapter.`,
    why: `it has no adapter_config.json${names.length > 0 ? `, but ${names.slice(0, 8).join(", ")}` : ""}.`,
    fix:
      below.length > 0
        ? `load one of its adapters: "${nodeFiles.join(folder, at(below, 0))}".`
        : words`give the folder that ${toCode("savePretrained", "peft train")} wrote; a whole model is ${toCode("loaded with AutoModelForCausalLM and the like", "named by --model")}.`,
  });
}

/** The newest checkpoint of a run's folder that holds an adapter. */
async function newestCheckpoint(folder: string): Promise<{ step: number; path: string } | undefined> {
  const checkpoints = nodeFiles.join(folder, "checkpoints");
  let newest: { step: number; path: string } | undefined;
  for (const name of await nodeFiles.list(checkpoints)) {
    const step = Number(/^checkpoint-(\d+)$/.exec(name)?.[1] ?? -1);
    const path = nodeFiles.join(checkpoints, name);
    if (step > (newest?.step ?? -1) && (await nodeFiles.exists(nodeFiles.join(path, "adapter_config.json"))))
      newest = { step, path };
  }
  return newest;
}

/** adapter_config.json as Python writes it. */
export function formatAdapterConfig(adapter: ConfiguredAdapter, modelClass?: ModelClass): string {
  const json = adapterJson(adapter, modelClass);
  const floats = new Set([...(adapter.method?.config.floats ?? []), ...(adapter.loaded?.floats ?? [])]);
  return formatJson(adapter.method?.files === "adapters" ? toLibrary(json) : json, floats);
}

type ConfiguredAdapter = Pick<Adapter, "method" | "config" | "json" | "loaded" | "state">;

/** Its fields. */
function adapterJson(adapter: ConfiguredAdapter, modelClass?: ModelClass): Readonly<Record<string, unknown>> {
  const { fields, options } = (adapter.method ?? internal("an adapter without a method")).config;
  const config = new Map<string, unknown>(Object.entries(adapter.config));
  const { state, loaded } = adapter;
  const json: Record<string, unknown> = {};
  for (const [field, fallback] of Object.entries(fields)) {
    const own = config.get(optionKey(field, options) ?? field);
    const settled = state.json.get(field) ?? adapter.json.get(field) ?? own ?? fallback;
    json[field] = loaded && field in loaded.json ? loaded.json[field] : settled;
  }
  json["inference_mode"] = true;
  const ranks = state.allocator?.pattern;
  if (ranks !== undefined) json["rank_pattern"] = Object.fromEntries(ranks);
  if ("model_class" in fields) json["model_class"] ??= modelClass?.name;
  return byClass(json, modelClass);
}

/** A task that PEFT does not know is no task_type: the class says it, as PEFT writes it for such models. */
function byClass(
  json: Readonly<Record<string, unknown>>,
  modelClass: ModelClass | undefined,
): Readonly<Record<string, unknown>> {
  const { task_type: task } = json;
  if (!isTaskType(task) || taskOf(task).byClass !== true) return json;
  const mapping = modelClass?.name === undefined ? json["auto_mapping"] : mappingOf(modelClass);
  return { ...json, task_type: null, auto_mapping: mapping };
}

/** The task that such a class says. */
function taskOfMapping(mapping: unknown): TaskType | undefined {
  const { base_model_class: name } = Object(mapping);
  const task = typeof name === "string" ? taskOfClass(name) : undefined;
  return task !== undefined && taskOf(task).byClass === true ? task : undefined;
}

/** A model's class in Python, as far as its config.json says. */
export interface ModelClass {
  readonly name: string | undefined;
  readonly modelType: string;
}

/** Where transformers has a class: the towers of a model with two are in its own module. */
function mappingOf({ name, modelType }: ModelClass): Readonly<Record<string, unknown>> {
  const family = modelType.replaceAll("-", "_").replace(/_(?:vision|text|audio)_model$/, "");
  const library = `transformers.models.${family}.modeling_${family}`;
  return { base_model_class: name, parent_library: library };
}

/** Whether a folder has the prompt encoder's own tensors. */
export function hasEncoder(folder: string): Promise<boolean> {
  return nodeFiles.exists(nodeFiles.join(folder, ENCODER_FILE));
}

interface SavedTensor {
  readonly shape: readonly number[];
  /** Default: f32. */
  readonly dtype?: Entry["dtype"];
  readonly data: Float32Array;
}

/** What is saved of an adapter beside its own tensors. */
interface SavedBeside {
  /** The rows that a prompt's encoder yields; undefined: it is no prompt. */
  readonly prompt: SavedTensor | undefined;
  /** What its head tells apart; undefined: it has none, or one that only the base knows. */
  readonly classes: ClassFields | undefined;
  readonly modelClass?: ModelClass | undefined;
}

/** Writes adapter_model.safetensors, its JSON files and README.md: all of them, or none where one fails. */
export async function saveAdapter(
  adapter: Adapter,
  folder: string,
  runtime: Runtime,
  { prompt, classes, modelClass }: SavedBeside,
): Promise<void> {
  const tensors = await savedTensors(adapter, runtime);
  if (prompt !== undefined) tensors.set("prompt_embeddings", prompt);
  const encoder = [...adapter.entries.values()].filter((e) => e.key.startsWith("prompt_encoder."));
  const hasEncoder = encoder.length > 0 && adapter.method?.prompt?.tables(adapter.config) === undefined;
  const draft = await nodeFiles.temporary(nodeFiles.join(folder, "adapter"));
  const at = (name: string): string => nodeFiles.join(draft, name);
  const write = (name: string, text: string): Promise<void> =>
    nodeFiles.writeAtomic(at(name), [new TextEncoder().encode(text)]);
  await nodeFiles.makeFolder(draft);
  try {
    const json = adapterJson(adapter, modelClass);
    const isLibrary = adapter.method?.files === "adapters";
    const files = isLibrary
      ? libraryFiles(tensors, `${json["name"]}`)
      : [["adapter_model.safetensors", tensors] as const];
    for (const [name, tensors] of files) await writeTensors(at(name), tensors);
    if (isLibrary && files.length > 1)
      await write("head_config.json", headConfig(json, runtime.weights.spec.config.numLabels, classes));
    if (hasEncoder) await writeTensors(at(ENCODER_FILE), new Map(encoder.map((e) => [e.key, e])));
    await write("adapter_config.json", formatAdapterConfig(adapter, modelClass));
    if (classes !== undefined) await write(CLASSES_FILE, `${formatJson(classes, new Set())}\n`);
    await write("README.md", modelCard(adapter, classes));
    for (const name of await nodeFiles.list(draft))
      await nodeFiles.rename(at(name), nodeFiles.join(folder, name));
    if (!hasEncoder) await nodeFiles.remove(nodeFiles.join(folder, ENCODER_FILE));
    if (classes === undefined) await nodeFiles.remove(nodeFiles.join(folder, CLASSES_FILE));
  } finally {
    await nodeFiles.remove(draft);
  }
}

/** An adapter's tensors and its head's, as the library "adapters" keeps them. */
function libraryFiles(
  tensors: ReadonlyMap<string, SavedTensor>,
  name: string,
): (readonly [file: string, ReadonlyMap<string, SavedTensor>])[] {
  const parts: Readonly<Record<"adapter" | "head", Map<string, SavedTensor>>> = {
    adapter: new Map(),
    head: new Map(),
  };
  for (const [key, tensor] of tensors) {
    const own = libraryName(key, name);
    parts[isLibraryAdapter(own) ? "adapter" : "head"].set(own, tensor);
  }
  const [adapter, head] = [LIBRARY_FILES.adapter[0], LIBRARY_FILES.head[0]];
  return [[adapter, parts.adapter] as const, ...(parts.head.size > 0 ? [[head, parts.head] as const] : [])];
}

async function savedTensors(adapter: Adapter, runtime: Runtime): Promise<Map<string, SavedTensor>> {
  const tensors = new Map<string, SavedTensor>();
  for (const entry of adapter.entries.values())
    if (entry.savedKey !== undefined) tensors.set(entry.savedKey, savedForm(adapter, entry));
  const { config } = adapter;
  const { inventory } = runtime.weights;
  for (const { path, weight = "" } of savesBase(adapter) ? adapter.layers.values() : []) {
    if (!isEnd(path, inventory)) continue;
    const shape = inventory.weights.get(weight) ?? internal(`no weight ${weight}`);
    tensors.set(`base_model.model.${path}.base_layer.weight`, { shape, data: await runtime.weight(weight) });
  }
  if (adapter.method?.layers?.bias?.(config) !== "all") return tensors;
  for (const [name, module] of adapter.whole) {
    if (!name.endsWith(".bias")) continue;
    const entry = adapter.entry(name);
    const inner = name.slice(module.length + 1);
    // Python takes the adapter's name out of a key only where it stands before the last part.
    const own = inner === "bias" ? inner : `${adapter.name}.${inner}`;
    tensors.set(`base_model.model.${module}.modules_to_save.${own}`, entry);
    const original = { shape: entry.shape, data: await runtime.weight(name) };
    tensors.set(`base_model.model.${module}.original_module.${inner}`, original);
  }
  return tensors;
}

/** Without what went to zero where ranks were taken away. */
function savedForm({ state: { allocator } }: Adapter, entry: Entry): SavedTensor {
  return allocator === undefined ? entry : allocator.shrink(entry);
}

/**
 * Whether Python saves the base's embedding and head beside what stands on them: where targets name one as
 * "embed_tokens" or "lm_head".
 */
function savesBase({ method, config, layers, tokens }: Adapter): boolean {
  const targets = method?.layers?.select(config).targetModules;
  if (targets === undefined || tokens.size > 0 || isAllLinear(targets)) return false;
  if (typeof targets !== "string") return EMBEDDING_NAMES.some((name) => targets.includes(name));
  return [...layers.keys()].some((path) => EMBEDDING_NAMES.some((name) => named(path, name)));
}

/** The input embedding, or a layer over the vocabulary. */
function isEnd(path: string, { embeddings, linears }: Inventory): boolean {
  const [input] = embeddings.values();
  return input !== undefined && (path === input.path || linears.get(path)?.outDim === input.vocab);
}

function asStored(data: Float32Array, dtype: Entry["dtype"] = "f32"): ArrayBufferView {
  if (dtype === "i64") return BigInt64Array.from(data, BigInt);
  return dtype === "i32" ? Int32Array.from(data) : data;
}

function writeTensors(path: string, tensors: ReadonlyMap<string, SavedTensor>): Promise<void> {
  const bytes = ({ data, dtype }: SavedTensor): Uint8Array => {
    const { buffer, byteOffset, byteLength } = asStored(data, dtype);
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
  return writeSafetensors(
    path,
    new Map(
      [...tensors].map(([key, t]) => [key, { dtype: t.dtype ?? "f32", shape: [...t.shape], data: bytes(t) }]),
    ),
  );
}
