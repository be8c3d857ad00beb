import { refuseUnknown } from "../arguments.js";
import { checked } from "../attach/merge.js";
import { PeftError } from "../errors.js";
import { words } from "../words.js";
import { type AdaptedBase, namesOf } from "./adapted_base.js";
import { type MergeOptions, mergeNames } from "./adapter_options.js";
import { removeNow } from "./attach_adapter.js";
import { type SaveModelOptions, saveModel, savedNames as wholeNames } from "./save_model.js";

/** Merges adapters into the base's weights. Throws "adapter-config", "adapter-name". */
export async function mergeAdapters(model: AdaptedBase, options: MergeOptions): Promise<void> {
  refuseUnknown("mergeAdapter", options, mergeNames);
  const { changes, merging } = model;
  const named = model.adapters.named(options.adapterNames);
  merging.push(...named);
  const merge = async (): Promise<void> => {
    const adapters = named.filter((a) => !changes.isMerged(a));
    if (adapters.length < named.length)
      model.warn(words`Adapters ${namesOf(changes.merged)} are merged already: not once more.`);
    if (adapters.length > 0) await changes.merge(adapters, options.safe ?? false);
  };
  await model.turns.turn("alone", named, merge).finally(() => {
    for (const adapter of named) merging.splice(merging.indexOf(adapter), 1);
  });
}

/** Takes merged adapters out again. */
export async function unmergeAdapters({ turns, changes, warn }: AdaptedBase): Promise<void> {
  await turns.turn("alone", [], async () => {
    if (changes.merged.length === 0) warn(words`No adapter is merged; nothing was done.`);
    await changes.unmerge();
  });
}

/** Merges adapters for good, and removes all. Throws "adapter-config", "adapter-name". */
export async function mergeForGood(model: AdaptedBase, options: MergeOptions): Promise<void> {
  refuseUnknown("mergeAndUnload", options, mergeNames);
  const { changes } = model;
  const named = model.adapters.named(options.adapterNames);
  await model.turns.turn("alone", named, async () => {
    const wanted = [...new Set([...changes.merged, ...named])];
    const left = changes.residuals.filter((a) => !wanted.includes(a));
    if (left.length > 0) await changes.unmerge(); // these lie under the merges
    await removeNow(model, left);
    const adapters = wanted.filter((a) => !changes.isMerged(a));
    if (adapters.length > 0) await changes.merge(adapters, options.safe ?? false);
    changes.keep();
    await removeNow(model, [...model.adapters.byName.values()]);
  });
}

/**
 * Writes the base with adapters merged into it; the model itself stays as it is, but for merges, which are
 * undone.
 */
export async function saveMerged(
  model: AdaptedBase,
  folder: string,
  options: SaveModelOptions & MergeOptions,
): Promise<void> {
  refuseUnknown("saveMerged", options, { ...mergeNames, ...wholeNames });
  const adapters = model.adapters.named(options.adapterNames);
  await model.turns.turn("alone", adapters, async () => {
    await model.changes.unmerge();
    const weights = model.changes.mergers(adapters);
    await saveModel(model.base, options.safe === false ? weights : checked(weights), folder, options);
  });
}

/** Removes all adapters. */
export async function unload(model: AdaptedBase): Promise<void> {
  const adapters = [...model.adapters.byName.values()];
  for (const adapter of adapters) model.adapters.remove(adapter);
  await model.base.runtime.turns.alone(async () => {
    await model.changes.unmerge();
    await removeNow(model, adapters);
    model.turns.throwFault();
  });
}

/** Whether the active adapters can become a part of the base's weights. */
export function isMergeable({ changes, adapters }: AdaptedBase): boolean {
  try {
    changes.mergers(adapters.active());
    return true;
  } catch (error) {
    if (error instanceof PeftError) return false;
    throw error;
  }
}
