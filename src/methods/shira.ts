import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { ShiraOptions, ShiraValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight, scattered } from "./delta.js";
import { ZERO } from "./initial.js";
import type { ConfigClass, Method, MethodTable, ParameterSpec, SiteMethod } from "./method.js";
import { fanInFanOut, rank, saving, seedOf, startsWithoutEffect, targetModules } from "./shared_options.js";
import { TorchRandom, writePlaces } from "./torch_random.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  r: rank(32, "r (in + out) numbers of each weight are trained, as many as LoRA of this rank has"),
  maskType: {
    kind: "text",
    choices: ["random"],
    byDefault: "random",
    means: "how they are chosen; Python's own functions cannot be carried over",
  },
  randomSeed: {
    ...seedOf("by which they are chosen; the places are saved"),
    otherwise: "another one each time, as in Python",
  },
  fanInFanOut,
  initWeights: startsWithoutEffect,
};

export type { ShiraOptions };
export type ShiraConfig = ShiraValues;
/**
 * Config of SHiRA (arXiv 2406.13175). Reference: peft/tuners/shira/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, ShiraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new ShiraConfig({ r: 32 }));
 * ```
 */
export const ShiraConfig: ConfigClass<ShiraValues, ShiraOptions> = configClass("SHIRA", "ShiraConfig", {
  options,
});

function parameters(c: ShiraConfig, { path, inDim, outDim }: LinearSite): ParameterSpec[] {
  const count = c.r * (inDim + outDim);
  const all = inDim * outDim;
  if (count > all)
    throw new PeftError("adapter-config", {
      what: words`${option("r")} is ${c.r} at ${path}.`,
      why: `${count} numbers would be trained of a weight [${outDim}, ${inDim}] that has ${all}.`,
      fix: words`${option("r", Math.floor(all / (inDim + outDim)))}, or less.`,
    });
  const places = (data: Float32Array): void => {
    const seed = c.randomSeed ?? at(crypto.getRandomValues(new Uint32Array(1)), 0);
    writePlaces(data, new TorchRandom(seed).permutation(all, count).sort(), inDim);
  };
  return [
    { key: "shira_weight", shape: [count], initial: c.initWeights ? ZERO : { kind: "normal", std: 1 } },
    { key: "shira_indices", shape: [2, count], initial: { kind: "made", make: places }, frozen: "saved i32" },
  ];
}

/** The trained numbers at their places, [out, in]. */
function delta({ g, site: { inDim, outDim }, p }: DeltaParts): Tensor {
  const [row, column] = g.split(g.cast(p("shira_indices"), "i64"), 0, [1, 1]);
  const at = g.add(g.mul(row, g.scalar(inDim, "i64")), column);
  return scattered(g, p("shira_weight"), at, [outDim, inDim]);
}

const linear: SiteMethod<ShiraConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  structure: () => "",
};

/** Some numbers of the weight, far apart. arXiv 2406.13175. Reference: peft/tuners/shira/layer.py */
export const shira: Method<ShiraConfig> = {
  name: "shira",
  config: ShiraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
