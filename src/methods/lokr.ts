import type { ConvSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { LoKrOptions, LoKrValues } from "./config_types.js";
import { addsToKernel, asMatrix, coreKernel, fromCore, hasCore } from "./conv_layers.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { kaiming, ZERO } from "./initial.js";
import type { ConfigClass, Initial, Method, MethodTable, ParameterSpec, Site, SiteMethod } from "./method.js";
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
  useEffectiveConv2d,
} from "./shared_options.js";
import type { WeightDropout } from "./weight_dropout.js";

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
  useEffectiveConv2d,
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
});

const rankOf = (c: LoKrConfig, { path }: Pick<Site, "path">): number =>
  byPattern(c, "rankPattern", path) ?? c.r;

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

/** What is cut into factors: of a convolution its channels. */
type Widths = Pick<LinearSite, "path" | "inDim" | "outDim">;

function factorsOf(c: LoKrConfig, site: Widths): [Factor, Factor] {
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

function lokrDropout({ rankDropout, rankDropoutScale, moduleDropout }: LoKrConfig): WeightDropout {
  return { rankDropout, isScaled: rankDropoutScale, moduleDropout };
}

const scaleOf = (c: LoKrConfig, site: Pick<Site, "path">): number =>
  (byPattern(c, "alphaPattern", site.path) ?? c.alpha) / rankOf(c, site);

const linear: SiteMethod<LoKrConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta, lokrDropout),
  scale: scaleOf,
  structure: (c) => `dropout ${c.rankDropout} ${c.rankDropoutScale} ${c.moduleDropout}`,
};

const widthsOf = ({ path, inChannels, outChannels, groups }: ConvSite): Widths => ({
  ...{ path, inDim: inChannels / groups, outDim: outChannels },
});

const lengthOf = (kernel: readonly number[]): number => kernel.reduce((a, b) => a * b, 1);

/** The right factor has the kernel: whole, by a core, or folded into its columns. */
function kernelSpecs(c: LoKrConfig, site: ConvSite, { name, rows, columns, whole }: Factor): ParameterSpec[] {
  const r = rankOf(c, site);
  const start = (fan: number): Initial => (c.initWeights === "lycoris" ? ZERO : kaiming(fan));
  const { kernel } = site;
  if (whole)
    return [{ key: name, shape: [rows, columns, ...kernel], initial: start(columns * lengthOf(kernel)) }];
  if (!c.useEffectiveConv2d || !hasCore(site))
    return specsOf(
      { name, rows, columns: columns * lengthOf(kernel), whole },
      r,
      c.initWeights === "lycoris" ? "b" : undefined,
    );
  const core = coreKernel(site);
  return [
    { key: "lokr_t2", shape: [r, r, ...core], initial: kaiming(r * lengthOf(core)) },
    { key: `${name}_a`, shape: [r, rows], initial: kaiming(rows) },
    { key: `${name}_b`, shape: [r, columns], initial: start(columns) },
  ];
}

/** D = W1 (x) W2 at each of the kernel's places */
function kernelDelta({ g, p, conv }: DeltaParts & { readonly conv: ConvSite }, c: LoKrConfig): Tensor {
  const [left, right] = factorsOf(c, widthsOf(conv));
  const w1 = left.whole ? p(left.name) : g.matmul(p(`${left.name}_a`), p(`${left.name}_b`));
  const [a, b] = [`${right.name}_a`, `${right.name}_b`];
  const byCore = c.useEffectiveConv2d && hasCore(conv);
  const w2 = right.whole
    ? p(right.name)
    : byCore
      ? fromCore(g, p("lokr_t2"), p(a), p(b))
      : g.matmul(p(a), p(b));
  const places = lengthOf(conv.kernel);
  const blocks = g.mul(
    g.reshape(w1, [left.rows, 1, left.columns, 1, 1]),
    g.reshape(w2, [1, right.rows, 1, right.columns, places]),
  );
  return asMatrix(g, conv, blocks);
}

const conv: SiteMethod<LoKrConfig, ConvSite> = {
  parameters: (c, site) => {
    const [left, right] = factorsOf(c, widthsOf(site));
    const ofLeft = specsOf(left, rankOf(c, site), c.initWeights === true ? "a" : undefined);
    return [...ofLeft, ...kernelSpecs(c, site, right)];
  },
  ...addsToKernel(kernelDelta, lokrDropout),
  scale: scaleOf,
  structure: (c) =>
    `dropout ${c.rankDropout} ${c.rankDropoutScale} ${c.moduleDropout} ${c.useEffectiveConv2d} ${c.decomposeBoth} ${c.decomposeFactor} ${c.r}`,
};

/** Kronecker products of two small matrices. arXiv 2309.14859. Reference: peft/tuners/lokr/layer.py */
export const lokr: Method<LoKrConfig> = {
  name: "lokr",
  config: LoKrConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    conv,
  },
};
