import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { LoHaOptions, LoHaValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { kaiming, ZERO } from "./initial.js";
import type { ConfigClass, Method, MethodTable, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";
import {
  alphaPattern,
  blocks,
  moduleDropout,
  rank,
  rankDropout,
  rankPattern,
  saving,
  startsWithoutEffect,
  targets,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(8, "the rank of each of the two factors"),
  alpha: { kind: "number", byDefault: 8, also: ["loraAlpha"], means: "scale of the update: alpha / r" },
  initWeights: startsWithoutEffect,
  rankPattern,
  alphaPattern: alphaPattern("alpha"),
  rankDropout,
  moduleDropout,
};

export type { LoHaOptions };
export type LoHaConfig = LoHaValues;
/**
 * Config of LoHa (arXiv 2108.06098). Reference: peft/tuners/loha/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, LoHaConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new LoHaConfig({ r: 8, alpha: 8 }));
 * ```
 */
export const LoHaConfig: ConfigClass<LoHaValues, LoHaOptions> = configClass("LOHA", "LoHaConfig", {
  options,
  ignored: { use_effective_conv2d: false },
});

const rankOf = (c: LoHaConfig, { path }: LinearSite): number => byPattern(c, "rankPattern", path) ?? c.r;

/** D = (A1 B1) o (A2 B2) */
function delta({ g, p }: DeltaParts): Tensor {
  const factor = (i: 1 | 2): Tensor => g.matmul(p(`hada_w${i}_a`), p(`hada_w${i}_b`));
  return g.mul(factor(1), factor(2));
}

const linear: SiteMethod<LoHaConfig, LinearSite> = {
  parameters: (c, site) => {
    const r = rankOf(c, site);
    const a = { shape: [site.outDim, r], initial: kaiming(r), free: [1] };
    const b = { shape: [r, site.inDim], initial: kaiming(site.inDim), free: [0] };
    return [
      { ...a, key: "hada_w1_a" },
      { ...b, key: "hada_w1_b" },
      { ...a, key: "hada_w2_a" },
      { ...b, key: "hada_w2_b", initial: c.initWeights ? ZERO : b.initial },
    ];
  },
  ...addsToWeight(delta, ({ rankDropout, moduleDropout }) => ({
    ...{ rankDropout, moduleDropout, isScaled: true },
  })),
  scale: (c, site) => (byPattern(c, "alphaPattern", site.path) ?? c.alpha) / rankOf(c, site),
  structure: (c) => `dropout ${c.rankDropout} ${c.moduleDropout}`,
};

/**
 * Products of two low-rank matrices, element by element. arXiv 2108.06098. Reference:
 * peft/tuners/loha/layer.py
 */
export const loha: Method<LoHaConfig> = {
  name: "loha",
  config: LoHaConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
