import type { Adapter } from "../adapters/adapter.js";
import { checkBias, checkTrainable } from "../adapters/checks.js";
import { mixtureOf, type WeightedOptions, weightedNames } from "../adapters/mix.js";
import { expectArgument, expectName, pickOptions, refuseUnknown } from "../arguments.js";
import { hasEncoder, methodOf, readAdapterConfig } from "../attach/adapter_files.js";
import { type LoadedKeys, loadAdapterTensors } from "../attach/adapter_tensors.js";
import { type Attached, type AttachOptions, attach } from "../attach/attach.js";
import { attachFile } from "../attach/attach_file.js";
import { readClasses } from "../attach/class_names.js";
import { cannotSwap, checkSwapped, swapped } from "../attach/hotswap.js";
import { PeftError } from "../errors.js";
import { resolveFolder } from "../hub/resolve.js";
import type { AdapterConfig } from "../methods/method.js";
import { isTaskType, taskOf } from "../tasks/registry.js";
import { words } from "../words.js";
import { type AdaptedBase, namesOf } from "./adapted_base.js";
import {
  type AdapterOptions,
  adapterNames,
  type HotswapOptions,
  hubNames,
  type LoadAdapterOptions,
  loadNames,
} from "./adapter_options.js";
import { checkHead, labelsOfAdapter } from "./head_size.js";
import { modelFor } from "./other_task.js";

/** Adds a new adapter. Throws "adapter-name", "adapter-targets", "adapter-config". */
export function addAdapter(
  model: AdaptedBase,
  name: string,
  config: AdapterConfig,
  options: AdapterOptions = {},
): void {
  refuseUnknown("addAdapter", options, adapterNames);
  expectArgument("addAdapter", config, {
    is: typeof config?.peftType === "string",
    wants: "a method's config",
    fix: "make one: new LoraConfig({ r: 8 }).",
  });
  const { seed = model.base.seed, tokenizer, numLabels } = options;
  model.adapters.checkName(name);
  const tokenize = tokenizer === undefined ? undefined : (text: string) => tokenizer(text).inputIds[0] ?? [];
  const fields = numLabels === undefined ? undefined : labelFields(numLabels);
  register(model, attachTo(model, name, config, { seed, tokenize, fields }));
}

/** Adds a mixture of adapters, and waits until it is filled. Throws "adapter-name", "adapter-config". */
export async function addMixture(
  model: AdaptedBase,
  name: string,
  {
    names,
    weights,
    options,
  }: {
    names: readonly string[];
    weights: readonly number[];
    options: WeightedOptions;
  },
): Promise<void> {
  refuseUnknown("addWeightedAdapter", options, weightedNames);
  const { config, fill } = mixtureOf(model.adapters.named(names), weights, options);
  addAdapter(model, name, config);
  const adapter = model.adapters.get(name);
  model.turns.after(adapter, async () => fill(adapter));
  await model.turns.ready();
}

/** Loads an adapter. An adapter whose tensors cannot be read is removed. */
export async function loadAdapter(
  model: AdaptedBase,
  nameOrFolder: string,
  name: string,
  options: LoadAdapterOptions,
): Promise<LoadedKeys> {
  expectName("loadAdapter", nameOrFolder);
  refuseUnknown("loadAdapter", options, loadNames);
  const folder = await resolveFolder(nameOrFolder, pickOptions(options, hubNames));
  const { base, turns } = model;
  const file = await readAdapterConfig(folder);
  for (const warning of file.warnings) model.warn(words`${warning}`);
  const classes = await readClasses(folder);
  const fields = await headFields(folder, base, file.config, classes);
  const storedPrompt = !(await hasEncoder(folder));
  const stored = { seed: base.seed, tokenize: () => [], storedPrompt, fields };
  const adapter = await model.adapters.reserving(name, async () => {
    const attached = await attachFile(name, folder, file, base.runtime, (own) =>
      attachTo(model, name, file.config, { ...stored, file: own }),
    );
    attached.adapter.state.classes = classes;
    register(model, attached);
    return attached.adapter;
  });
  try {
    const loaded = await turns.change(adapter, async () => {
      turns.throwFault();
      if (options.isTrainable === true) checkTrainable(adapter, model.changes.merged);
      return await loadAdapterTensors(adapter, folder, base.runtime, options.strict ?? true);
    });
    for (const warning of loaded.warnings) model.warn(words`${warning}`);
    return loaded.keys;
  } catch (error) {
    drop(model, adapter);
    throw error;
  }
}

/**
 * Puts another file's adapter in the place of one that is there, under its name: what is compiled for the one
 * serves the other. Throws "adapter-name", "adapter-mismatch", "adapter-config", "file-format", "hub".
 */
export async function hotswapAdapter(
  model: AdaptedBase,
  nameOrFolder: string,
  name: string,
  options: HotswapOptions,
): Promise<void> {
  expectName("hotswapAdapter", nameOrFolder);
  refuseUnknown("hotswapAdapter", options, hubNames);
  const old = model.adapters.get(name);
  const folder = await resolveFolder(nameOrFolder, options);
  const { base, turns, changes } = model;
  const file = await readAdapterConfig(folder);
  for (const warning of file.warnings) model.warn(words`${warning}`);
  const { config, stored } = swapped(old, file);
  const fields = old.task === undefined ? {} : labelFields(old.task.config.numLabels);
  const { adapter, prepare } = attachTo(model, name, config, { seed: base.seed, file: stored, fields });
  await turns.change(adapter, async () => {
    if (changes.isMerged(old)) throw cannotSwap(old, "it is merged", "to stand apart");
    const residuals = await prepare(base.runtime);
    if (residuals.size > 0 || changes.residuals.includes(old))
      throw cannotSwap(old, "one of them keeps a part of the base in itself", "the whole base below them");
    const loaded = await loadAdapterTensors(adapter, folder, base.runtime, false);
    for (const warning of loaded.warnings) model.warn(words`${warning}`);
    checkSwapped(old, adapter, loaded.keys);
    model.adapters.replace(old, adapter);
    await clear(model, old);
  });
}

/** Fields of config.json for a head of so many labels. */
function labelFields(labels: number): Record<string, unknown> {
  return { id2label: undefined, label2id: undefined, num_labels: labels };
}

/**
 * Fields of config.json that an adapter's own head follows, where it is for another task than the base's.
 * Throws "adapter-mismatch" where it is for the same, and for other labels.
 */
async function headFields(
  folder: string,
  base: AdaptedBase["base"],
  { taskType = base.taskType }: AdapterConfig,
  classes: Readonly<Record<string, unknown>> = {},
): Promise<Record<string, unknown>> {
  if (taskType === base.taskType || !isTaskType(taskType)) {
    await checkHead(folder, base);
    return {};
  }
  const isPerLabel = taskOf(taskType).head.isPerLabel;
  const labels = isPerLabel ? await labelsOfAdapter(folder, base.configJson, taskType) : undefined;
  return { ...(labels === undefined ? {} : labelFields(labels)), ...classes };
}

/** How an adapter is attached; `fields`: those of config.json that its head follows. */
type AttachingOptions = Omit<AttachOptions, "task"> & {
  readonly fields: Readonly<Record<string, unknown>> | undefined;
};

/** A method bound to this model's places. The model does not know it yet. */
function attachTo(
  model: AdaptedBase,
  name: string,
  config: AdapterConfig,
  { fields, ...options }: AttachingOptions,
): Attached {
  const { base } = model;
  const { spec, inventory, task } = modelFor(model, config.taskType ?? base.taskType, fields);
  const named = { ...config, baseModelNameOrPath: config.baseModelNameOrPath ?? base.name };
  Object.setPrototypeOf(named, Object.getPrototypeOf(config));
  return attach(name, methodOf(config.peftType), named, spec, inventory, { ...options, task });
}

function register(model: AdaptedBase, attached: Attached): void {
  const { adapter, warnings } = attached;
  checkBias(adapter, [...model.adapters.byName.values()]);
  for (const warning of warnings) model.warn(words`${warning}`);
  model.adapters.add(adapter);
  model.turns.after(
    adapter,
    () => prepare(model, attached),
    () => {
      model.turns.refuse(adapter);
      drop(model, adapter);
    },
  );
}

/** Starting values that come from the base, and what they leave of it. */
async function prepare(model: AdaptedBase, { adapter, prepare }: Attached): Promise<void> {
  if (model.adapters.byName.get(adapter.name) !== adapter) return;
  const residuals = await prepare(model.base.runtime);
  if (residuals.size > 0) await model.changes.reduce(adapter, residuals);
}

/** Removes an adapter, and restores what it changed of the base's weights. Throws "adapter-name". */
export function deleteAdapter(model: AdaptedBase, name: string): void {
  const adapter = model.adapters.get(name);
  const merged = [...new Set([...model.changes.merged, ...model.merging])];
  if (merged.includes(adapter) || (merged.length > 0 && model.changes.residuals.includes(adapter)))
    throw new PeftError("adapter-name", {
      what: `The adapter "${name}" cannot be deleted while ${namesOf(merged)} are merged.`,
      why: "what it changed of the base's weights cannot be taken back from under them.",
      fix: "call unmergeAdapter() first.",
    });
  drop(model, adapter);
}

function drop(model: AdaptedBase, adapter: Adapter): void {
  model.adapters.remove(adapter);
  model.turns.after(adapter, () => clear(model, adapter));
}

/** Frees what the model and the engine keep of an adapter. */
async function clear(model: AdaptedBase, adapter: Adapter): Promise<void> {
  model.turns.refuse(adapter);
  await model.changes.restore(adapter);
  await model.base.runtime.forget(adapter);
}

/** Removes adapters within a turn of their own. */
export async function removeNow(model: AdaptedBase, adapters: readonly Adapter[]): Promise<void> {
  for (const adapter of adapters) {
    model.adapters.remove(adapter);
    await clear(model, adapter);
  }
}
