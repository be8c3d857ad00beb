import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { camel, OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { kaiming, ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { AdapterConfig, Json, Method, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";

/** Options of LoHa. */
export interface LoHaOptions extends LayerOptions {
  /** The rank of each of the two factors. Default 8. */
  r?: number | undefined;
  /** Scale of the update: alpha / r. Default 8. */
  alpha?: number | undefined;
  /** Start without effect (default), or at random. */
  initWeights?: boolean | undefined;
  /** Ranks by layer name or pattern where they differ from r. */
  rankPattern?: Readonly<Record<string, number>> | undefined;
  /** Alphas by layer name or pattern where they differ from alpha. */
  alphaPattern?: Readonly<Record<string, number>> | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("LOHA"),
  r: 8,
  alpha: 8,
  rank_dropout: 0,
  module_dropout: 0,
  use_effective_conv2d: false,
  init_weights: true,
  rank_pattern: {},
  alpha_pattern: {},
};

/** Config of LoHa (arXiv 2108.06098). Throws "adapter-config". Reference: peft/tuners/loha/config.py */
export class LoHaConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "LOHA";
  readonly r: number;
  readonly alpha: number;
  readonly initWeights: boolean;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;

  constructor(options: LoHaOptions = {}) {
    const read = new OptionReader("LoHaConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 8;
    this.alpha = read.number("alpha") ?? 8;
    this.initWeights = read.flag("initWeights", true);
    this.rankPattern = read.patterns("rankPattern", "whole");
    this.alphaPattern = read.patterns("alphaPattern", "any");
    read.flag("useEffectiveConv2d", false); // of convolutions, which are no targets
    read.unsupported(["rank_dropout", "module_dropout"].map(camel));
    read.done();
  }
}

const rankOf = (c: LoHaConfig, { path }: LinearSite): number => byPattern(c.rankPattern, path) ?? c.r;

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
  ...addsToWeight(delta),
  scale: (c, site) => (byPattern(c.alphaPattern, site.path) ?? c.alpha) / rankOf(c, site),
  structure: () => "",
};

/** Products of two low-rank matrices, element by element. arXiv 2108.06098. Reference: peft/tuners/loha/layer.py */
export const loha: Method<LoHaConfig> = {
  peftType: "LOHA",
  name: "loha",
  fields,
  floats: ["rank_dropout", "module_dropout"],
  create: (options) => new LoHaConfig(options as LoHaOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
