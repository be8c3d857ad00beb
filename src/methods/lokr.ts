import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { LoKrOptions, LoKrValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { kaiming, ZERO } from "./initial.js";
import type { ConfigClass, Initial, Method, MethodTable, ParameterSpec, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";
import {
  alphaPattern,
  blocks,
  moduleDropout,
  rank,
  rankDropout,
  rankPattern,
  saving,
  targets,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(8, "the rank of the factors that are cut into two"),
  alpha: { kind: "number", byDefault: 8, also: ["loraAlpha"], means: "scale of the update: alpha / r" },
  decomposeBoth: {
    kind: "flag",
    byDefault: false,
    means: "cut the left factor into two as well, where the rank makes that smaller",
  },
  decomposeFactor: {
    kind: "whole",
    min: -1,
    byDefault: -1,
    means: "size of the left factor, where it divides the layer's; -1: near the square root",
  },
  initWeights: {
    kind: "flag",
    choices: ["lycoris"],
    byDefault: true,
    means: "true: start without effect by the left factor; lycoris: by the right one; false: at random",
  },
  rankPattern,
  alphaPattern: alphaPattern("alpha"),
  rankDropout,
  rankDropoutScale: {
    kind: "flag",
    byDefault: false,
    means: "the outputs whose change is kept make up for those whose change is dropped",
  },
  moduleDropout,
};

export type { LoKrOptions };
export type LoKrConfig = LoKrValues;
/**
 * Config of LoKr (arXiv 2309.14859). Reference: peft/tuners/lokr/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, LoKrConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new LoKrConfig({ r: 8, alpha: 8 }));
 * ```
 */
export const LoKrConfig: ConfigClass<LoKrValues, LoKrOptions> = configClass("LOKR", "LoKrConfig", {
  options,
  ignored: { use_effective_conv2d: false },
});

const rankOf = (c: LoKrConfig, { path }: LinearSite): number => byPattern(c, "rankPattern", path) ?? c.r;

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
  const [left, right] = factorsOf(c, site);
  const matrix = ({ name, whole }: Factor): Tensor =>
    whole ? p(name) : g.matmul(p(`${name}_a`), p(`${name}_b`));
  const [w1, w2] = [matrix(left), matrix(right)];
  const blocks = g.mul(
    g.reshape(w1, [left.rows, 1, left.columns, 1]),
    g.reshape(w2, [1, right.rows, 1, right.columns]),
  );
  return g.reshape(blocks, [site.outDim, site.inDim]);
}

const linear: SiteMethod<LoKrConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta, ({ rankDropout, rankDropoutScale: isScaled, moduleDropout }) => ({
    ...{ rankDropout, isScaled, moduleDropout },
  })),
  scale: (c, site) => (byPattern(c, "alphaPattern", site.path) ?? c.alpha) / rankOf(c, site),
  structure: (c) => `dropout ${c.rankDropout} ${c.rankDropoutScale} ${c.moduleDropout}`,
};

/** Kronecker products of two small matrices. arXiv 2309.14859. Reference: peft/tuners/lokr/layer.py */
export const lokr: Method<LoKrConfig> = {
  name: "lokr",
  config: LoKrConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
