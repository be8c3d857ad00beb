import type { AdapterDraft } from "../adapters/draft.js";
import { bindLayer, bindStack } from "../adapters/site.js";
import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { AdapterConfig, LayerMethod } from "../methods/method.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { option, words } from "../words.js";
import { addSite } from "./add_site.js";
import { named } from "./targets.js";

/**
 * Puts a method on parameters that a config names by themselves (`target_parameters`): stacks of experts, and
 * weights of linear layers. Returns their names. Throws "adapter-targets" where there are none, or none that
 * the method stands on. Reference: peft/tuners/tuners_utils.py, _inject_parameters
 */
export function addParameters<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  { linear, stack }: LayerMethod<C>,
  names: readonly string[],
  spec: ModelSpec,
  inventory: Inventory,
  next: () => number,
): string[] {
  if (names.length === 0 || linear === undefined || stack === undefined) return [];
  const isNamed = (parameter: string): boolean => names.some((name) => named(parameter, name));
  const found = [...inventory.weights.keys()].filter(isNamed);
  if (found.length === 0) throw nothingNamed(names, spec, inventory);
  const linears = [...inventory.linears.values(), ...inventory.bare.values()];
  const byWeight = new Map(linears.map((site) => [`${site.path}.weight`, site]));
  const stacks = [...inventory.stacks.keys()].filter(isNamed);
  for (const parameter of found) {
    const experts = inventory.stacks.get(parameter);
    const site = byWeight.get(parameter);
    if (experts !== undefined) {
      const held = experts.experts * experts.inDim * experts.outDim;
      const place = placeOf(parameter, stacks);
      addSite(draft, draft.stacks, bindStack(stack, experts, draft.config), next, held, place);
    } else if (site !== undefined && !site.transposed) {
      refuseTwice(draft, site);
      const own = { ...site, parameter };
      const bound = bindLayer(linear, own, draft.config, [own]);
      addSite(draft, draft.layers, bound, next, site.inDim * site.outDim);
    } else throw noMatrix(parameter, inventory);
  }
  return found;
}

/**
 * What stands before a stack's tensors in the file: Python puts a wrapper around the module for each of its
 * parameters, the last one outside.
 */
function placeOf(parameter: string, stacks: readonly string[]): string {
  const module = parameter.slice(0, parameter.lastIndexOf("."));
  const ofModule = stacks.filter((other) => other.slice(0, other.lastIndexOf(".")) === module);
  const below = ofModule.length - 1 - ofModule.indexOf(parameter);
  return `base_model.model.${module}.${"base_layer.".repeat(below)}`;
}

function refuseTwice({ layers }: Pick<AdapterDraft, "layers">, { path }: LinearSite): void {
  if (!layers.has(path)) return;
  throw new PeftError("adapter-targets", {
    what: words`${path} is named by ${option("targetModules")} and by ${option("targetParameters")}.`,
    why: "a layer has one adapter of this kind.",
    fix: words`leave it out of one of them.`,
  });
}

function noMatrix(parameter: string, { embeddings, linears }: Inventory): PeftError {
  const path = parameter.slice(0, parameter.lastIndexOf("."));
  const isLayer = embeddings.has(path) || linears.has(path);
  return new PeftError("adapter-targets", {
    what: words`${option("targetParameters")} name ${parameter}.`,
    why: isLayer
      ? "it is a layer's that is adapted as a module."
      : "it is no matrix of a linear layer, and no stack of experts' matrices.",
    fix: isLayer
      ? words`name its module: ${option("targetModules", [path.slice(path.lastIndexOf(".") + 1)])}.`
      : words`leave it out of ${option("targetParameters")}.`,
  });
}

function nothingNamed(names: readonly string[], { config }: ModelSpec, { stacks }: Inventory): PeftError {
  const there = [...new Set([...stacks.keys()].map((name) => name.split(".").slice(-2).join(".")))];
  return new PeftError("adapter-targets", {
    what: words`No parameter matches ${option("targetParameters")} ${JSON.stringify(names)}.`,
    why:
      there.length === 0
        ? `this ${config.modelType} model is dense: it has no experts.`
        : `the experts of this ${config.modelType} model are ${there.join(", ")}.`,
    fix:
      there.length === 0
        ? words`name layers instead: ${option("targetModules", "all-linear")}.`
        : words`use ${option("targetParameters", there)}.`,
  });
}
