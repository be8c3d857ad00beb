import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { camel, OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { readStart } from "./init_weights.js";
import { kaiming, ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { AdapterConfig, Initial, Json, Method, ParameterSpec, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";

/** Options of LoKr. */
export interface LoKrOptions extends LayerOptions {
  /** The rank of the factors that are cut into two. Default 8. */
  r?: number | undefined;
  /** Scale of the update: alpha / r. Default 8. */
  alpha?: number | undefined;
  /** Cut the left factor into two as well, where the rank makes that smaller. Default false. */
  decomposeBoth?: boolean | undefined;
  /** Size of the left factor, where it divides the layer's; -1 (default): near the square root. */
  decomposeFactor?: number | undefined;
  /** Start without effect by the left factor (default) or by the right one ("lycoris"), or at random. */
  initWeights?: boolean | "lycoris" | undefined;
  /** Ranks by layer name or pattern where they differ from r. */
  rankPattern?: Readonly<Record<string, number>> | undefined;
  /** Alphas by layer name or pattern where they differ from alpha. */
  alphaPattern?: Readonly<Record<string, number>> | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("LOKR"),
  r: 8,
  alpha: 8,
  rank_dropout: 0,
  module_dropout: 0,
  use_effective_conv2d: false,
  decompose_both: false,
  decompose_factor: -1,
  rank_dropout_scale: false,
  init_weights: true,
  rank_pattern: {},
  alpha_pattern: {},
};

/** Config of LoKr (arXiv 2309.14859). Throws "adapter-config". Reference: peft/tuners/lokr/config.py */
export class LoKrConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "LOKR";
  readonly r: number;
  readonly alpha: number;
  readonly decomposeBoth: boolean;
  readonly decomposeFactor: number;
  readonly rankDropoutScale: boolean;
  readonly initWeights: boolean | "lycoris";
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;

  constructor(options: LoKrOptions = {}) {
    const read = new OptionReader("LoKrConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 8;
    this.alpha = read.number("alpha") ?? 8;
    this.decomposeBoth = read.flag("decomposeBoth", false);
    this.decomposeFactor = read.integer("decomposeFactor", { min: -1 }) ?? -1;
    this.rankDropoutScale = read.flag("rankDropoutScale", false); // of rank_dropout, which is refused
    this.initWeights = readStart(read, ["lycoris"]);
    this.rankPattern = read.patterns("rankPattern", "whole");
    this.alphaPattern = read.patterns("alphaPattern", "any");
    read.flag("useEffectiveConv2d", false); // of convolutions, which are no targets
    read.unsupported(["rank_dropout", "module_dropout"].map(camel));
    read.done();
  }
}

const rankOf = (c: LoKrConfig, { path }: LinearSite): number => byPattern(c.rankPattern, path) ?? c.r;

/**
 * Two factors of a size: `factor` and the rest, else those nearest to each other with the first at most
 * `factor` (-1: any).
 */
function factorize(size: number, factor: number): [number, number] {
  if (factor > 0 && size % factor === 0) return [factor, size / factor];
  const most = Math.min(factor === -1 ? size : factor, Math.floor(Math.sqrt(size)));
  for (let first = most; first > 1; first--) if (size % first === 0) return [first, size / first];
  return [1, size];
}

/** One of the two factors of D: whole, or as a product of rank r. */
interface Factor {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly whole: boolean;
}

function factorsOf(c: LoKrConfig, site: LinearSite): [Factor, Factor] {
  const r = rankOf(c, site);
  const [outLeft, outRight] = factorize(site.outDim, c.decomposeFactor);
  const [inLeft, inRight] = factorize(site.inDim, c.decomposeFactor);
  const large = (a: number, b: number): boolean => r >= Math.max(a, b) / 2;
  return [
    {
      ...{ name: "lokr_w1", rows: outLeft, columns: inLeft },
      whole: !c.decomposeBoth || large(outLeft, inLeft),
    },
    { name: "lokr_w2", rows: outRight, columns: inRight, whole: large(outRight, inRight) },
  ];
}

/** `zero`: which part starts at zero, of the whole factor or the two that it is cut into. */
function specsOf({ name, rows, columns, whole }: Factor, r: number, zero?: "a" | "b"): ParameterSpec[] {
  const start = (part: "a" | "b", fan: number): Initial => (zero === part ? ZERO : kaiming(fan));
  if (whole) {
    return [{ key: name, shape: [rows, columns], initial: zero === undefined ? kaiming(columns) : ZERO }];
  }
  return [
    { key: `${name}_a`, shape: [rows, r], initial: start("a", r), free: [1] },
    { key: `${name}_b`, shape: [r, columns], initial: start("b", columns), free: [0] },
  ];
}

function parameters(c: LoKrConfig, site: LinearSite): ParameterSpec[] {
  const [left, right] = factorsOf(c, site);
  const r = rankOf(c, site);
  return [
    ...specsOf(left, r, c.initWeights === true ? "a" : undefined),
    ...specsOf(right, r, c.initWeights === "lycoris" ? "b" : undefined),
  ];
}

/** D = W1 (x) W2, Kronecker's product; each factor may itself be a product A B. */
function delta({ g, p, site }: DeltaParts, c: LoKrConfig): Tensor {
  const factors = factorsOf(c, site);
  const [w1, w2] = factors.map(({ name, whole }) =>
    whole ? p(name) : g.matmul(p(`${name}_a`), p(`${name}_b`)),
  ) as [Tensor, Tensor];
  const [left, right] = factors;
  const blocks = g.mul(
    g.reshape(w1, [left.rows, 1, left.columns, 1]),
    g.reshape(w2, [1, right.rows, 1, right.columns]),
  );
  return g.reshape(blocks, [site.outDim, site.inDim]);
}

const linear: SiteMethod<LoKrConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  scale: (c, site) => (byPattern(c.alphaPattern, site.path) ?? c.alpha) / rankOf(c, site),
  structure: () => "",
};

/** Kronecker products of two small matrices. arXiv 2309.14859. Reference: peft/tuners/lokr/layer.py */
export const lokr: Method<LoKrConfig> = {
  peftType: "LOKR",
  name: "lokr",
  fields,
  floats: ["rank_dropout", "module_dropout"],
  create: (options) => new LoKrConfig(options as LoKrOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
