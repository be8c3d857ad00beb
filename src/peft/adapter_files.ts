import { methods } from "../adapters/index.js";
import type { AdapterConfig, Method } from "../adapters/method.js";
import { internal, PeftError } from "../errors.js";
import type { Checkpoint } from "../hub/checkpoint.js";
import { openAdapterWeights } from "../hub/checkpoint.js";
import { toF32 } from "../hub/dtypes.js";
import { nodeFiles } from "../hub/files.js";
import { formatJson, parseJsonWithFloats } from "../hub/json.js";
import { openSafetensors, writeSafetensors } from "../hub/safetensors.js";
import { optionKey } from "../options.js";
import { option, words } from "../words.js";
import type { Adapter, Entry } from "./adapter.js";
import { modelCard } from "./model_card.js";
import type { Runtime } from "./runtime.js";
import { named } from "./targets.js";

/** The prompt encoder's own tensors: Python ignores this file, and we can go on training from it. */
const ENCODER_FILE = "adapter_prompt_encoder.safetensors";

export interface AdapterFile {
  readonly method: Method;
  readonly config: AdapterConfig;
  readonly json: Readonly<Record<string, unknown>>;
  readonly floats: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

/** The method that answers to a peft_type or a name. Throws "unknown-method", which lists what is known. */
export function methodOf(peftType: unknown): Method {
  const found = methods.find((m) => m.config.peftType === peftType || m.name === peftType);
  if (found !== undefined) return found;
  throw new PeftError("unknown-method", {
    what: `peft_type ${JSON.stringify(peftType ?? null)} is not known.`,
    why: `peft.js has ${methods.map((m) => m.config.peftType).join(", ")}.`,
    fix: "use one of these methods.",
  });
}

/** adapter_config.json as it stands. Throws "file-format" where the folder holds no adapter, saying what it holds. */
export async function readAdapterJson(folder: string): Promise<Readonly<Record<string, unknown>>> {
  return (await parseAdapterJson(folder)).json;
}

async function parseAdapterJson(folder: string): Promise<Pick<AdapterFile, "json" | "floats">> {
  const path = nodeFiles.join(folder, "adapter_config.json");
  if (!(await nodeFiles.exists(path))) throw await noAdapter(folder);
  const { value, floats } = parseJsonWithFloats(await nodeFiles.text(path), path);
  return { json: (value ?? {}) as Record<string, unknown>, floats };
}

/** Reads adapter_config.json. Unknown keys are dropped with a warning. */
export async function readAdapterConfig(folder: string): Promise<AdapterFile> {
  const { json, floats } = await parseAdapterJson(folder);
  const method = methodOf(json["peft_type"]);
  const known = Object.fromEntries(Object.entries(json).filter(([key]) => key in method.config.fields));
  const unknown = Object.keys(json).filter((key) => !(key in known));
  const warnings =
    unknown.length === 0 ? [] : [`adapter_config.json has unknown keys, which are ignored: ${unknown}.`];
  return { method, config: method.config.create(known), json: known, floats, warnings };
}

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
        ? `load one of its adapters: "${nodeFiles.join(folder, below[0]!)}".`
        : "give the folder that savePretrained wrote; a whole model is loaded with AutoModelForCausalLM and the like.",
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
export function formatAdapterConfig(adapter: Adapter): string {
  const { fields, options, floats } = (adapter.method ?? internal("an adapter without a method")).config;
  const config = adapter.config as unknown as Readonly<Record<string, unknown>>;
  const json: Record<string, unknown> = {};
  for (const [field, fallback] of Object.entries(fields)) {
    const own = config[optionKey(field, options) ?? field];
    const loaded = adapter.loadedJson;
    json[field] = loaded && field in loaded ? loaded[field] : (adapter.json.get(field) ?? own ?? fallback);
  }
  json["inference_mode"] = true;
  const ranks = adapter.allocator?.pattern;
  if (ranks !== undefined) json["rank_pattern"] = Object.fromEntries(ranks);
  return formatJson(json, new Set([...floats, ...adapter.loadedFloats]));
}

export interface LoadedKeys {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
}

/**
 * Fills an adapter's tensors from its file. Throws "adapter-mismatch" with every wrong shape at once, and, where `strict`, with
 * missing and unexpected keys.
 */
export async function loadAdapterTensors(
  adapter: Adapter,
  folder: string,
  runtime: Runtime,
  strict: boolean,
): Promise<LoadedKeys> {
  const file = await openAdapterWeights(folder);
  await loadEncoder(adapter, folder);
  const wanted = wantedKeys(adapter);
  const wrong: string[] = [];
  const missing: string[] = [];
  for (const [key, entry] of wanted) {
    const stored = file.tensors.get(key);
    if (stored === undefined) missing.push(key);
    else if (`${stored.shape}` !== `${adapter.entry(entry).shape}`)
      wrong.push(`${key} is [${stored.shape}], the model needs [${adapter.entry(entry).shape}]`);
  }
  const extra = [...file.tensors.keys()].filter((key) => !wanted.has(key) && !isCompanion(key));
  const unexpected = extra.filter((key) => !runtime.weights.inventory.weights.has(baseName(key)));
  refuse(adapter, wrong, strict ? missing : [], strict ? unexpected : []);
  for (const [key, entry] of wanted)
    if (file.tensors.has(key)) adapter.entry(entry).data.set(await file.readF32(key));
  for (const key of extra.filter((k) => !unexpected.includes(k)))
    await replaceBase(adapter, file, key, runtime);
  adapter.touch();
  return { missing, unexpected };
}

/** Key in the file -> key of the entry it fills. */
function wantedKeys(adapter: Adapter): Map<string, string> {
  const wanted = new Map<string, string>();
  for (const entry of adapter.entries.values())
    if (entry.savedKey !== undefined) wanted.set(entry.savedKey, entry.key);
  const prompt = adapter.method?.prompt;
  if (prompt === undefined) return wanted;
  const table = prompt.table(adapter.config);
  if (adapter.prompt === "stored") wanted.set("prompt_embeddings", "prompt_embeddings");
  else if (table !== undefined) wanted.set("prompt_embeddings", `prompt_encoder.${table}`);
  return wanted;
}

/** What Python saves beside an adapter's own tensors: the base under an adapted embedding, wrappers' copies of biases. */
function isCompanion(key: string): boolean {
  return (
    /\.(base_layer\.weight|(modules_to_save|original_module)\.(.+\.)?bias)$/.test(key) ||
    key === "prompt_embeddings"
  );
}

function baseName(key: string): string {
  return key.replace(/^base_model\.(model\.)?/, "");
}

/** A tensor of the base that was saved with the adapter (a resized or trained embedding) takes the base's place. */
async function replaceBase(adapter: Adapter, file: Checkpoint, key: string, runtime: Runtime): Promise<void> {
  const name = baseName(key);
  const shape = runtime.weights.inventory.weights.get(name)!;
  const stored = file.tensors.get(key)!;
  if (`${stored.shape}` !== `${shape}`)
    refuse(adapter, [`${key} is [${stored.shape}], the model has [${shape}]`], [], []);
  adapter.replaced.set(name, name);
  adapter.add({ key: name, savedKey: key, shape, data: await file.readF32(key) });
}

function refuse(
  adapter: Adapter,
  wrong: readonly string[],
  missing: readonly string[],
  unexpected: readonly string[],
): void {
  if (wrong.length + missing.length + unexpected.length === 0) return;
  const some = (list: readonly string[]): string =>
    `${list.slice(0, 6).join(", ")}${list.length > 6 ? ` and ${list.length - 6} more` : ""}`;
  const parts = [
    wrong.length > 0 ? `${wrong.length} tensors have another shape: ${wrong.join("; ")}.` : "",
    missing.length > 0 ? `${missing.length} tensors are missing: ${some(missing)}.` : "",
    unexpected.length > 0 ? `${unexpected.length} tensors belong to nothing here: ${some(unexpected)}.` : "",
  ];
  throw new PeftError("adapter-mismatch", {
    what: `The file of adapter "${adapter.name}" does not fit this model.`,
    why: parts.filter((p) => p !== "").join(" "),
    fix: `load it on its own base (${adapter.config.baseModelNameOrPath ?? "see its adapter_config.json"}), or pass strict: false for missing and unexpected tensors.`,
  });
}

/** Tensors of the prompt's encoder, if they were saved: then the adapter can go on training. */
async function loadEncoder(adapter: Adapter, folder: string): Promise<void> {
  const path = nodeFiles.join(folder, ENCODER_FILE);
  if (adapter.prompt !== "encoder" || !(await nodeFiles.exists(path))) return;
  const archive = await openSafetensors(path);
  for (const entry of adapter.entries.values()) {
    const stored = archive.tensors.get(entry.key);
    if (stored === undefined || `${stored.shape}` !== `${entry.shape}`) continue;
    entry.data.set(toF32(await nodeFiles.read(path, stored.offset, stored.bytes), stored.dtype));
  }
}

/** Whether a folder has the prompt encoder's own tensors. */
export function hasEncoder(folder: string): Promise<boolean> {
  return nodeFiles.exists(nodeFiles.join(folder, ENCODER_FILE));
}

interface SavedTensor {
  readonly shape: readonly number[];
  /** Default: f32. */
  readonly dtype?: "f32" | "i32";
  readonly data: Float32Array;
}

/** Writes adapter_model.safetensors, adapter_config.json and README.md: all of them, or none where one fails. */
export async function saveAdapter(
  adapter: Adapter,
  folder: string,
  runtime: Runtime,
  prompt: SavedTensor | undefined,
): Promise<void> {
  const tensors = await savedTensors(adapter, runtime);
  if (prompt !== undefined) tensors.set("prompt_embeddings", prompt);
  const encoder = [...adapter.entries.values()].filter((e) => e.key.startsWith("prompt_encoder."));
  const hasEncoder = encoder.length > 0 && adapter.method?.prompt?.table(adapter.config) === undefined;
  const draft = await nodeFiles.temporary(nodeFiles.join(folder, "adapter"));
  const at = (name: string): string => nodeFiles.join(draft, name);
  const write = (name: string, text: string): Promise<void> =>
    nodeFiles.writeAtomic(at(name), [new TextEncoder().encode(text)]);
  await nodeFiles.makeFolder(draft);
  try {
    await writeTensors(at("adapter_model.safetensors"), tensors);
    if (hasEncoder) await writeTensors(at(ENCODER_FILE), new Map(encoder.map((e) => [e.key, e])));
    await write("adapter_config.json", formatAdapterConfig(adapter));
    await write("README.md", modelCard(adapter));
    for (const name of await nodeFiles.list(draft))
      await nodeFiles.rename(at(name), nodeFiles.join(folder, name));
    if (!hasEncoder) await nodeFiles.remove(nodeFiles.join(folder, ENCODER_FILE));
  } finally {
    await nodeFiles.remove(draft);
  }
}

async function savedTensors(adapter: Adapter, runtime: Runtime): Promise<Map<string, SavedTensor>> {
  const tensors = new Map<string, SavedTensor>();
  for (const entry of adapter.entries.values())
    if (entry.savedKey !== undefined) tensors.set(entry.savedKey, savedForm(adapter, entry));
  const { config } = adapter;
  const targets = adapter.method?.layers?.select(config).targetModules;
  for (const { site } of adapter.sites.values()) {
    const isTarget = (name: string): boolean =>
      Array.isArray(targets) && targets.includes(name) && named(site.path, name);
    if (!isTarget("embed_tokens") && !isTarget("lm_head")) continue;
    const shape = runtime.weights.inventory.weights.get(site.weight)!;
    const key = `base_model.model.${site.path}.base_layer.weight`;
    tensors.set(key, { shape, data: await runtime.weight(site.weight) });
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
function savedForm({ allocator }: Adapter, entry: Entry): SavedTensor {
  return allocator === undefined ? entry : allocator.shrink(entry);
}

function writeTensors(path: string, tensors: ReadonlyMap<string, SavedTensor>): Promise<void> {
  const bytes = ({ data, dtype }: SavedTensor): Uint8Array => {
    const { buffer, byteOffset, byteLength } = dtype === "i32" ? Int32Array.from(data) : data;
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
  return writeSafetensors(
    path,
    new Map(
      [...tensors].map(([key, t]) => [key, { dtype: t.dtype ?? "f32", shape: [...t.shape], data: bytes(t) }]),
    ),
  );
}
