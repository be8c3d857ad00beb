import { taskTypes } from "../task.js";
import { option, words } from "../words.js";
import type { MethodRow, MethodTable, SayFault, Selection } from "./method.js";

/** Options that several methods have, once. */

/** Of every method. */
export const common: MethodTable = {
  taskType: {
    kind: "text",
    choices: taskTypes,
    means: "what the model is for; decides which head is trained along",
    fileOnly: true,
    code: "unknown-task",
  },
  baseModelNameOrPath: {
    kind: "text",
    means: "the base's Hub id or folder, as the adapter's file names it",
    fileOnly: true,
  },
  revision: { kind: "text", means: "the base's revision on the Hub", fileOnly: true },
  inferenceMode: {
    kind: "flag",
    byDefault: false,
    means: "taken as Python has it; whether an adapter trains is said where it is loaded",
    fileOnly: true,
  },
};

/** Of every method that can train a head. */
export const saving: MethodTable = {
  ...common,
  modulesToSave: {
    kind: "names",
    otherwise: "the task's head",
    means: "modules that train as a whole and are saved with the adapter",
  },
};

export const targetModules: MethodRow = {
  kind: "targets",
  otherwise: "the model's",
  means:
    "layers that are adapted: by name or the end of a path, by a regular expression that matches the whole path, or all of them",
};

/** Of methods that choose layers by name. */
export const targets: MethodTable = {
  targetModules,
  excludeModules: {
    kind: "targets",
    form: "NAME,NAME|REGEX",
    otherwise: "none",
    means: "layers that stay as they are, in the same forms",
  },
};

/** Of methods that choose layers by their number as well. */
export const blocks: MethodTable = {
  layersToTransform: {
    kind: "oneOrMoreIds",
    otherwise: "all",
    means: "numbers of the blocks that are adapted; not with a regular expression",
  },
  layersPattern: {
    kind: "nameOrNames",
    otherwise: "the usual ones",
    means: "name of the list of blocks that layersToTransform numbers: layers, h",
  },
};

export const fanInFanOut: MethodRow = {
  kind: "flag",
  byDefault: false,
  means: "Python's word for weights stored [in, out]; here it is known from the model, and only recorded",
};

export const startsWithoutEffect: MethodRow = {
  kind: "flag",
  byDefault: true,
  means: "start without effect; off: at random",
};

/** @param also names that others give it, besides the usual ones */
export function rank(byDefault: number, means: string, ...also: readonly string[]): MethodRow {
  return { kind: "whole", min: 1, byDefault, also: ["rank", "loraR", ...also], means };
}

export const rankPattern: MethodRow = {
  kind: "wholesByName",
  byDefault: {},
  means: "ranks by layer name or pattern where they differ from r",
};

/** `alpha`: the option that it is about. */
export function alphaPattern(alpha: string): MethodRow {
  return {
    kind: "numbersByName",
    byDefault: {},
    means: `alphas by layer name or pattern where they differ from ${alpha}`,
  };
}

/** `only`: Python's word for the biases of adapted layers. */
export function bias(only: string): MethodRow {
  return {
    kind: "text",
    choices: ["none", "all", only],
    byDefault: "none",
    means: `biases of the base that train too; ${only}: those of adapted layers`,
  };
}

export const dropout: MethodRow = {
  kind: "number",
  min: 0,
  below: 1,
  byDefault: 0,
  float: true,
  also: ["dropout", "loraDropout"],
  means: "share of the adapter's input that is dropped in training",
};

/** Of methods whose changes of weights are dropped: their rows, or all of a layer's. */
export const rankDropout: MethodRow = {
  kind: "number",
  min: 0,
  below: 1,
  byDefault: 0,
  float: true,
  means: "share of the outputs whose change is dropped in training, for a whole batch at a time",
};

export const moduleDropout: MethodRow = {
  ...rankDropout,
  means: "share of the passes in training for which all of a layer's change is dropped",
};

export const seedOf = (what: string, byDefault?: number): MethodRow => ({
  kind: "whole",
  min: 0,
  max: 2 ** 32 - 1,
  means: `seed ${what}`,
  ...(byDefault === undefined ? {} : { byDefault }),
});

/** Of methods whose layers share random matrices: from which seed, and whether files hold them. */
export function drawn(what: string): { readonly [K in "projectionPrngKey" | "saveProjection"]: MethodRow } {
  return {
    projectionPrngKey: seedOf(`of the ${what}`, 0),
    saveProjection: {
      kind: "flag",
      byDefault: true,
      means: `save the ${what} with the adapter; off: draw them again from the seed`,
    },
  };
}

export const dInitial: MethodRow = {
  kind: "number",
  byDefault: 0.1,
  means: "where the scales inside start",
};

/** Which blocks a selection is in. */
export function checkBlocks(c: Partial<Selection>, fault: SayFault): void {
  const { targetModules, layersToTransform, layersPattern } = c;
  if (typeof targetModules === "string") {
    for (const [key, value] of Object.entries({ layersToTransform, layersPattern })) {
      if (value === undefined) continue;
      fault(
        words`${option(key)} is given with ${option("targetModules", targetModules)}.`,
        "a pattern already says which blocks it means.",
        words`leave ${option(key)} out, or list layers by name: ${option("targetModules", ["q_proj"])}.`,
      );
    }
  } else if ((layersPattern?.length ?? 0) > 0 && layersToTransform === undefined) {
    fault(
      words`${option("layersPattern")} is ${JSON.stringify(layersPattern)} and ${option("layersToTransform")} is not given.`,
      "the pattern only names the list of blocks whose numbers are meant.",
      words`add ${option("layersToTransform", [0])}, or leave ${option("layersPattern")} out.`,
    );
  }
}

/** Of methods that have a core tensor for the places of a kernel. */
export const useEffectiveConv2d: MethodRow = {
  kind: "flag",
  byDefault: false,
  means:
    "on convolutions: a tensor that the kernel's places share, in place of a kernel folded into the inputs",
};
