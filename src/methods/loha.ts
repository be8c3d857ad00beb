import type { Graph } from "../graph/graph.js";
import type { ConvSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { LoHaOptions, LoHaValues } from "./config_types.js";
import {
  addsToKernel,
  asLinear,
  asMatrix,
  coreKernel,
  fromCore,
  hasCore,
  kernelShape,
} from "./conv_layers.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { kaiming, ZERO } from "./initial.js";
import type { ConfigClass, Method, MethodTable, ParameterSpec, Site, SiteMethod } from "./method.js";
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
  useEffectiveConv2d,
} from "./shared_options.js";
import type { WeightDropout } from "./weight_dropout.js";

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
  useEffectiveConv2d,
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
});

const rankOf = (c: LoHaConfig, { path }: Site): number => byPattern(c, "rankPattern", path) ?? c.r;

/** D = (A1 B1) o (A2 B2) */
function delta({ g, p }: DeltaParts): Tensor {
  const factor = (i: 1 | 2): Tensor => g.matmul(p(`hada_w${i}_a`), p(`hada_w${i}_b`));
  return g.mul(factor(1), factor(2));
}

function lohaDropout({ rankDropout, moduleDropout }: LoHaConfig): WeightDropout {
  return { rankDropout, moduleDropout, isScaled: true };
}

const scaleOf = (c: LoHaConfig, site: Site): number =>
  (byPattern(c, "alphaPattern", site.path) ?? c.alpha) / rankOf(c, site);

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
  ...addsToWeight(delta, lohaDropout),
  scale: scaleOf,
  structure: (c) => `dropout ${c.rankDropout} ${c.moduleDropout}`,
};

/** Parameters by the core that a kernel's places share: t [r, r, ...kernel], a [r, out], b [r, in]. */
function coreParameters(c: LoHaConfig, site: ConvSite): ParameterSpec[] {
  const r = rankOf(c, site);
  const [out, inner] = kernelShape(site);
  const kernel = coreKernel(site);
  const fan = r * kernel.reduce((a, b) => a * b, 1);
  return ([1, 2] as const).flatMap((i) => [
    { key: `hada_t${i}`, shape: [r, r, ...kernel], initial: kaiming(fan) },
    { key: `hada_w${i}_a`, shape: [r, out ?? 1], initial: kaiming(out ?? 1) },
    {
      key: `hada_w${i}_b`,
      shape: [r, inner ?? 1],
      initial: i === 2 && c.initWeights ? ZERO : kaiming(inner ?? 1),
    },
  ]);
}

/**
 * sum t_i a_i b_i. Python's own backward pass takes the other factor's core for the gradient by a_i: what
 * stands here beside the product is 0, and has that gradient.
 */
function coreFactor(g: Graph, p: (key: string) => Tensor, i: 1 | 2): Tensor {
  const other = i === 1 ? 2 : 1;
  const a = p(`hada_w${i}_a`);
  const own = fromCore(g, p(`hada_t${i}`), g.detach(a), p(`hada_w${i}_b`));
  const beside = fromCore(g, g.detach(p(`hada_t${other}`)), a, g.detach(p(`hada_w${other}_b`)));
  return g.add(own, g.sub(beside, g.detach(beside)));
}

const conv: SiteMethod<LoHaConfig, ConvSite> = {
  scale: scaleOf,
  parameters: (c, site) =>
    c.useEffectiveConv2d && hasCore(site) ? coreParameters(c, site) : linear.parameters(c, asLinear(site)),
  ...addsToKernel<LoHaConfig>((parts, c) => {
    const { g, p, conv } = parts;
    if (!c.useEffectiveConv2d || !hasCore(conv)) return delta(parts);
    return asMatrix(g, conv, g.mul(coreFactor(g, p, 1), coreFactor(g, p, 2)));
  }, lohaDropout),
  structure: (c) => `dropout ${c.rankDropout} ${c.moduleDropout} ${c.useEffectiveConv2d}`,
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
    conv,
  },
};
