import type { Adapter } from "../adapters/adapter.js";
import { internal, PeftError } from "../errors.js";
import type { Checkpoint } from "../hub/checkpoint.js";
import { openAdapterWeights } from "../hub/checkpoint.js";
import { nodeFiles } from "../hub/files.js";
import { toF32 } from "../hub/tensors/dtypes.js";
import { openSafetensors } from "../hub/tensors/safetensors.js";
import type { ParameterSpec } from "../methods/method.js";
import type { Runtime } from "../run/runtime.js";
import { prefixOf } from "../trace/write.js";
import { moduleNamesOf } from "../weights/module_names.js";
import { tieOf } from "../weights/tie.js";
import { toCode, type Words, words } from "../words.js";
import { ENCODER_FILE } from "./adapter_files.js";
import type { ReadKeys } from "./adapter_keys.js";
import { readKeys } from "./adapter_keys.js";
import type { StoredBase } from "./attach.js";
import { foreignKeys } from "./foreign_adapters.js";
import { hasValues } from "./same_values.js";

/** Where an adapter's file and the model differ: keys of tensors. */
export interface LoadedKeys {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
}

/** An adapter's tensors from its file, and what is worth a warning. */
export interface LoadedTensors {
  readonly keys: LoadedKeys;
  readonly warnings: readonly string[];
}

/**
 * Fills an adapter's tensors from its file. Throws "adapter-mismatch" with every wrong shape at once, and,
 * where `strict`, with missing and unexpected keys.
 */
export async function loadAdapterTensors(
  adapter: Adapter,
  folder: string,
  runtime: Runtime,
  strict: boolean,
): Promise<LoadedTensors> {
  const file = await openAdapterWeights(folder);
  await loadEncoder(adapter, folder);
  const { wanted, base, read, others } = readNames(adapter, file, runtime);
  const [unexpected, unused] = bySites(adapter, read.unknown);
  const fit: Fit = { wrong: [], missing: [], unexpected };
  for (const [key, entry] of wanted) {
    const stored = read.stored.get(key);
    const { shape, copyOf } = adapter.entry(entry);
    if (stored !== undefined) checkShape(file, stored, shape, fit);
    else if (copyOf === undefined) fit.missing.push(key);
  }
  const parts = promptParts(adapter);
  const prompt = read.stored.get(PROMPT);
  if (parts !== undefined && prompt === undefined) fit.missing.push(PROMPT);
  if (parts !== undefined && prompt !== undefined) checkShape(file, prompt, parts.shape, fit);
  for (const [key, stored] of others) checkShape(file, stored, base.get(baseName(key))?.shape ?? [], fit);
  if (fit.wrong.length > 0 || (strict && fit.missing.length + fit.unexpected.length > 0))
    throw mismatch(adapter, fit, file, runtime);
  for (const [key, entry] of wanted) {
    const stored = read.stored.get(key);
    if (stored !== undefined) adapter.entry(entry).data.set(await file.readF32(stored));
  }
  if (parts !== undefined && prompt !== undefined) {
    let rest = await file.readF32(prompt);
    for (const { data } of parts.keys.map((key) => adapter.entry(key))) {
      data.set(rest.subarray(0, data.length));
      rest = rest.subarray(data.length);
    }
  }
  adapter.state.touch();
  const notes = unused.length === 0 ? read.notes : [...read.notes, `${some(unused)} are not used`];
  const warnings = notes.map((note) => `The file of adapter "${adapter.name}": ${note}.`);
  return { keys: { missing: fit.missing, unexpected: fit.unexpected }, warnings };
}

interface ReadNames {
  /** Key in the file -> key of the entry it fills. */
  readonly wanted: ReadonlyMap<string, string>;
  readonly base: ReadonlyMap<string, { readonly name: string; readonly shape: readonly number[] }>;
  readonly read: ReadKeys;
  /** The base's own weights: their keys, and their names in the file. */
  readonly others: readonly (readonly [key: string, stored: string])[];
}

/** What the names in an adapter's file mean. */
function readNames(adapter: Adapter, file: Checkpoint, runtime: Runtime): ReadNames {
  const wanted = wantedKeys(adapter);
  const base = baseWeights(runtime);
  const read = readKeys(
    file.tensors.keys(),
    {
      isParameter: (key) => wanted.has(key) && !adapter.whole.has(wanted.get(key) ?? ""),
      isWhole: (key) => wanted.has(key),
      isOther: (key) => base.has(baseName(key)) || isCompanion(key),
      today: moduleNamesOf(runtime.weights.spec.architecture.checkpoint).today,
      root: adapter.method?.files === undefined ? undefined : prefixOf(runtime.weights.spec),
    },
    adapter.name,
  );
  const others = [...read.stored].filter(([key]) => !wanted.has(key) && base.has(baseName(key)));
  return { wanted, base, read, others };
}

/**
 * Weights of the base that an adapter's file holds with other values than this base has: attached with them,
 * the adapter does what it did where it was trained. Those of other shapes are left to `loadAdapterTensors`,
 * which refuses them.
 */
export async function storedBase(
  adapter: Adapter,
  folder: string,
  runtime: Runtime,
): Promise<readonly StoredBase[]> {
  const file = await openAdapterWeights(folder);
  const { base, others } = readNames(adapter, file, runtime);
  const tie = tieOf(runtime.weights.inventory);
  const found: StoredBase[] = [];
  const taken = new Set(adapter.replaced.keys());
  for (const [savedKey, stored] of others) {
    const { name, shape } = base.get(baseName(savedKey)) ?? internal(`no weight ${savedKey}`);
    const own = tie !== undefined && name === tie.embedding.weight ? [name, tie.own] : [name];
    const [first, ...rest] = own.filter((n) => !taken.has(n));
    const isFit = `${file.tensors.get(stored)?.shape}` === `${shape}`;
    if (first === undefined || !isFit || (await hasValues(runtime, name, file, stored))) continue;
    for (const n of [first, ...rest]) taken.add(n);
    found.push({ savedKey, names: [first, ...rest], shape });
  }
  return found;
}

/**
 * Names that mean nothing here: tensors of the method for other layers, and what models and wrappers keep
 * (buffers).
 */
function bySites({ sites }: Adapter, names: readonly string[]): [theMethods: string[], others: string[]] {
  const saved = [...sites.values()].flatMap(({ specs }) => specs.filter(isSaved));
  const keys = saved.map(({ key }) => key.split(".")[0] ?? key);
  const isMethods = (name: string): boolean =>
    sites.size === 0 || name.split(".").some((part) => keys.includes(part));
  return [names.filter(isMethods), names.filter((name) => !isMethods(name))];
}

function isSaved({ frozen }: ParameterSpec): boolean {
  return frozen !== "derived" && frozen !== "counted";
}

interface Fit {
  readonly wrong: {
    readonly key: string;
    readonly stored: readonly number[];
    readonly needed: readonly number[];
  }[];
  readonly missing: string[];
  readonly unexpected: readonly string[];
}

function checkShape(file: Checkpoint, key: string, needed: readonly number[], { wrong }: Fit): void {
  const stored = file.tensors.get(key)?.shape ?? [];
  if (`${stored}` !== `${needed}`) wrong.push({ key, stored, needed });
}

const PROMPT = "prompt_embeddings";

/** Parameters that share the one tensor of a prompt in the file, and its shape; undefined: there are none. */
function promptParts({ method, config, prompt: form }: Adapter): PromptParts | undefined {
  const tables = form === "encoder" ? (method?.prompt?.tables(config) ?? []) : [];
  if (method?.prompt === undefined || tables.length < 2) return undefined;
  return { keys: tables.map((key) => `prompt_encoder.${key}`), shape: method.prompt.shape(config) };
}

interface PromptParts {
  readonly keys: readonly string[];
  readonly shape: readonly number[];
}

/** Key in the file -> key of the entry it fills. */
function wantedKeys(adapter: Adapter): Map<string, string> {
  const wanted = new Map<string, string>();
  for (const entry of adapter.entries.values())
    if (entry.savedKey !== undefined) wanted.set(entry.savedKey, entry.key);
  const prompt = adapter.method?.prompt;
  if (prompt === undefined) return wanted;
  const [table, ...more] = prompt.tables(adapter.config) ?? [];
  if (adapter.prompt === "stored") wanted.set(PROMPT, PROMPT);
  else if (table !== undefined && more.length === 0) wanted.set(PROMPT, `prompt_encoder.${table}`);
  return wanted;
}

/**
 * What may be saved beside an adapter's own tensors and changes nothing: what wrappers keep of the module
 * below them.
 */
function isCompanion(key: string): boolean {
  return /\.original_module\.|\.modules_to_save\.(.+\.)?bias$/.test(key) || key === PROMPT;
}

/** The base's name for a key: Python loads base_layer.weight too, into the layer below the adapter. */
function baseName(key: string): string {
  return key.replace(/^base_model\.(model\.)?/, "").replace(/\.base_layer\.(weight|bias)$/, ".$1");
}

/** The base's weights by the names that modules have for them: a tied head has one of its own. */
function baseWeights({ weights }: Runtime): Map<string, { name: string; shape: readonly number[] }> {
  const { inventory } = weights;
  const all = new Map([...inventory.weights].map(([name, shape]) => [name, { name, shape }]));
  for (const { path, weight } of inventory.linears.values())
    if (!all.has(`${path}.weight`))
      all.set(`${path}.weight`, { name: weight, shape: inventory.weights.get(weight) ?? [] });
  return all;
}

function some(list: readonly string[]): string {
  return `${list.slice(0, 6).join(", ")}${list.length > 6 ? ` and ${list.length - 6} more` : ""}`;
}

function mismatch(adapter: Adapter, fit: Fit, file: Checkpoint, runtime: Runtime): PeftError {
  const { wrong, missing, unexpected } = fit;
  const shapes = wrong.map(({ key, stored, needed }) => `${key} is [${stored}], the model needs [${needed}]`);
  const parts = [
    wrong.length > 0 ? `${wrong.length} tensors have another shape: ${shapes.join("; ")}.` : "",
    missing.length > 0 ? `${missing.length} tensors are missing: ${some(missing)}.` : "",
    unexpected.length > 0 ? `${unexpected.length} tensors belong to nothing here: ${some(unexpected)}.` : "",
  ];
  const told = vocabularyFault(adapter, fit, runtime) ?? foreignKeys([...file.tensors.values()]);
  return new PeftError("adapter-mismatch", {
    what: `"${file.path}" ${told?.what ?? `does not fit this model (adapter "${adapter.name}").`}`,
    why: [told?.why ?? "", ...parts].filter((p) => p !== "").join(" "),
    fix:
      told?.fix ??
      words`load it on its own base (${adapter.config.baseModelNameOrPath ?? "see its adapter_config.json"})${toCode(", or pass strict: false for missing and unexpected tensors")}.`,
  });
}

interface Told {
  readonly what: string;
  readonly why: string;
  readonly fix: string | Words;
}

/**
 * An adapter that was trained after tokens were added: its embedding, or its head, has other rows than the
 * base's.
 */
function vocabularyFault(adapter: Adapter, { wrong }: Fit, { weights }: Runtime): Told | undefined {
  const { vocabSize } = weights.spec.config;
  const rows = new Set(
    wrong
      .filter(({ stored, needed }) => needed[0] === vocabSize && stored.length === needed.length)
      .map(({ stored, needed }) => (`${stored.slice(1)}` === `${needed.slice(1)}` ? stored[0] : undefined)),
  );
  const [count] = rows;
  if (rows.size !== 1 || count === undefined || count === vocabSize) return undefined;
  return {
    what: `was trained with a vocabulary of ${count} tokens, this base has ${vocabSize} (adapter "${adapter.name}").`,
    why: `its embedding was resized${count > vocabSize ? " for tokens that were added" : ""} before training, and its file brings the resized rows.`,
    fix: words`load the base with as many rows${toCode(`: fromPretrained(..., { config: { vocab_size: ${count} } })`)}, and the tokenizer that lies beside the adapter.`,
  };
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
