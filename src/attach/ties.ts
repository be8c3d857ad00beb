import type { AdapterConfig, Selection } from "../methods/method.js";
import type { Tie } from "../weights/tie.js";
import { matching } from "./targets.js";

/**
 * Names by which PEFT knows an embedding or a head. Reference: peft/utils/constants.py, EMBEDDING_LAYER_NAMES
 */
export const EMBEDDING_NAMES: readonly string[] = ["embed_tokens", "lm_head"];

function isEmbeddingName(name: string): boolean {
  return EMBEDDING_NAMES.includes(name.slice(name.lastIndexOf(".") + 1));
}

/**
 * Whether `ensureWeightTying` makes one tensor of what modulesToSave has in place of an embedding and its
 * head.
 */
export function savesTied({ ensureWeightTying, modulesToSave = [] }: AdapterConfig): boolean {
  return ensureWeightTying === true && modulesToSave.some(isEmbeddingName);
}

/**
 * Whether `ensureWeightTying` asks for LoRA on both sides of a tie. Reference: peft/tuners/tuners_utils.py,
 * _check_tied_modules
 */
export function targetsTied(config: AdapterConfig, targets: string | readonly string[] | undefined): boolean {
  if (config.ensureWeightTying !== true || savesTied(config) || targets === undefined) return false;
  if (typeof targets !== "string") return targets.some(isEmbeddingName);
  return EMBEDDING_NAMES.some(matching(targets, "targetModules"));
}

/** Targets of a stored adapter that has LoRA on both sides of a tie: Python names one of them. */
export function tiedSelection(config: AdapterConfig, selection: Selection, tie: Tie | undefined): Selection {
  const { targetModules: targets } = selection;
  if (tie === undefined || !targetsTied(config, targets)) return selection;
  const both = [tie.embedding.path, tie.head.path];
  if (typeof targets !== "string") return { ...selection, targetModules: [...(targets ?? []), ...both] };
  return { ...selection, targetModules: `(?:${targets}|${both.join("|").replaceAll(".", "\\.")})` };
}

/**
 * modulesToSave once the model is known: `ensureWeightTying` puts the embedding's path in place of the
 * head's. Reference: peft/tuners/lora/model.py, _add_modules_to_save_to_tie
 */
export function settledModules(config: AdapterConfig, tie: Tie | undefined): readonly string[] {
  const modules = config.modulesToSave ?? [];
  if (tie === undefined || !savesTied(config)) return modules;
  const parts = tie.head.path.split(".");
  const isHead = (name: string): boolean => parts.some((_, i) => parts.slice(i).join(".") === name);
  const added = modules.includes(tie.embedding.path) ? modules : [...modules, tie.embedding.path];
  return added.filter((name) => !isHead(name));
}
