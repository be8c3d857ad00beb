import type { Adapter } from "../adapters/adapter.js";
import { PeftError } from "../errors.js";
import type { AdapterConfig } from "../methods/method.js";
import { pythonName } from "../options.js";
import type { AdapterFile } from "./adapter_files.js";
import type { LoadedKeys } from "./adapter_tensors.js";
import type { AttachedFile } from "./attach.js";

/**
 * The config of an adapter with the ranks and scales of another file, so that its compiled programs serve
 * that one too. Throws "adapter-mismatch" for methods that cannot be swapped. Reference:
 * peft/utils/hotswap.py
 */
export function swapped(
  old: Adapter,
  { method, config, json }: AdapterFile,
): { readonly config: AdapterConfig; readonly stored: AttachedFile } {
  const swaps = method.layers?.swaps;
  if (swaps === undefined || method !== old.method) {
    const types = [old.method?.config.peftType, method.config.peftType];
    throw cannotSwap(old, `they are ${types.join(" and ")} adapters`, "the same method, LoRA");
  }
  const settingOf = (c: AdapterConfig, key: string): string =>
    JSON.stringify(Object.entries(c).find(([name]) => name === key)?.[1] ?? null);
  const others = swaps.same.filter((key) => settingOf(config, key) !== settingOf(old.config, key));
  if (others.length > 0) throw cannotSwap(old, `they differ in ${others.join(", ")}`, "the same of these");
  const fields = swaps.ranks.map((key) => pythonName(key, method.config.options[key]));
  const taken = Object.entries(json).filter(([field]) => fields.includes(field));
  const values = Object.entries(config).filter(([key]) => swaps.ranks.includes(key));
  return {
    config: method.config.create({ ...old.config, ...Object.fromEntries(values) }),
    stored: {
      json: { ...old.loaded?.json, ...Object.fromEntries(taken) },
      floats: old.loaded?.floats ?? new Set(),
    },
  };
}

/**
 * Layers that the file lacks are without effect. Throws "adapter-mismatch" where it has others, or lacks a
 * part of one.
 */
export function checkSwapped(old: Adapter, adapter: Adapter, { missing, unexpected }: LoadedKeys): void {
  if (unexpected.length > 0)
    throw cannotSwap(old, `the file has ${unexpected.slice(0, 5).join(", ")}`, "the same layers, or fewer");
  if (adapter.structure !== old.structure)
    throw cannotSwap(old, "modules or tokens beside its layers train in one of them", "the same layers");
  for (const [path, { specs }] of adapter.layers) {
    const keys = specs.map(({ key }) => `${path}.${key}`);
    const lacking = keys.filter((key) => missing.includes(adapter.entry(key).savedKey ?? ""));
    if (lacking.length === 0) continue;
    if (lacking.length < keys.length)
      throw cannotSwap(old, `the file lacks ${lacking.join(", ")}`, "whole layers");
    for (const key of keys) adapter.entry(key).data.fill(0);
  }
  adapter.state.touch();
}

export function cannotSwap({ name }: Pick<Adapter, "name">, why: string, wants: string): PeftError {
  return new PeftError("adapter-mismatch", {
    what: `The adapter "${name}" cannot be swapped for this one.`,
    why: `${why}; a swap keeps what is compiled, for which both have ${wants}.`,
    fix: `deleteAdapter("${name}"), and loadAdapter(folder, "${name}").`,
  });
}
