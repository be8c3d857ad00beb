import type { Adapter } from "../adapters/adapter.js";
import { PeftError } from "../errors.js";
import { withFields } from "../methods/config.js";
import { LoraConfig } from "../methods/lora_config.js";
import type { AdapterConfig } from "../methods/method.js";
import type { AdapterFile } from "./adapter_files.js";
import type { LoadedKeys } from "./adapter_tensors.js";
import type { AttachedFile } from "./attach.js";

/** Fields of adapter_config.json that a swap takes from the file; all others are those of what was there. */
const TAKEN = ["r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora"];

/**
 * The config of an adapter with the ranks and scales of another file, so that its compiled programs serve that
 * one too. Throws "adapter-mismatch" where they compute something else. Reference: peft/utils/hotswap.py
 */
export function swapped(
  old: Adapter,
  { config, json }: AdapterFile,
): { readonly config: AdapterConfig; readonly stored: AttachedFile } {
  if (!(old.config instanceof LoraConfig))
    throw cannotSwap(old, `it is a ${old.config.peftType} adapter`, "LoRA");
  if (!(config instanceof LoraConfig))
    throw cannotSwap(old, `the file holds a ${json["peft_type"]} adapter`, "LoRA");
  if (config.useDora !== old.config.useDora || config.loraBias !== old.config.loraBias)
    throw cannotSwap(old, "DoRA's magnitudes, or biases in B, are in one of them alone", "the same tensors");
  const { r, loraAlpha, rankPattern, alphaPattern, useRslora } = config;
  const taken = Object.entries(json).filter(([field]) => TAKEN.includes(field));
  return {
    config: withFields<LoraConfig>(old.config, { r, loraAlpha, rankPattern, alphaPattern, useRslora }),
    stored: {
      json: { ...old.loaded?.json, ...Object.fromEntries(taken) },
      floats: old.loaded?.floats ?? new Set(),
    },
  };
}

/**
 * Layers that the file does not have are without effect. Throws "adapter-mismatch" where it has others, or parts
 * of a layer.
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
