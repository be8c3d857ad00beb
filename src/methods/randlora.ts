import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { expandToF32, roundToHalves } from "../halves.js";
import { configClass } from "./config.js";
import type { RandLoraOptions, RandLoraValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import { ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Initial, Merging, Method, MethodTable, ParameterSpec } from "./method.js";
import {
  bias,
  blocks,
  drawn,
  dropout,
  fanInFanOut,
  rank,
  saving,
  startsWithoutEffect,
  targetModules,
} from "./shared_options.js";
import { TorchRandom } from "./torch_random.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  ...blocks,
  r: rank(32, "the rank of each random base; the smaller, the more numbers are trained"),
  ...drawn("bases"),
  sparse: { kind: "flag", byDefault: false, means: "bases of -1, 0 and 1, two thirds of them 0" },
  verySparse: { kind: "flag", byDefault: false, means: "the same with fewer that are not 0" },
  randloraDropout: dropout,
  randloraAlpha: { kind: "number", byDefault: 640, also: ["alpha"], means: "scale of the update: alpha / r" },
  bias: bias("randlora_only"),
  fanInFanOut,
  initWeights: startsWithoutEffect,
};

export type { RandLoraOptions };
export type RandLoraConfig = RandLoraValues;
/**
 * Config of RandLoRA (arXiv 2502.00987). Reference: peft/tuners/randlora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, RandLoraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new RandLoraConfig({ r: 32 }));
 * ```
 */
export const RandLoraConfig: ConfigClass<RandLoraValues, RandLoraOptions> = configClass(
  "RANDLORA",
  "RandLoraConfig",
  {
    options,
  },
);

const basesOf = (width: number, r: number): number => Math.ceil(width / r);
const narrow = ({ inDim, outDim }: Pick<LinearSite, "inDim" | "outDim">): number => Math.min(inDim, outDim);
const wide = ({ inDim, outDim }: Pick<LinearSite, "inDim" | "outDim">): number => Math.max(inDim, outDim);

/** A [r, 1, narrow] and B [wide, bases, r] for the largest widths of all layers: others use parts of them. */
function shared(c: RandLoraConfig, sites: readonly LinearSite[]): ParameterSpec[] {
  const inDim = Math.max(...sites.map((s) => s.inDim));
  const outDim = Math.max(...sites.map((s) => s.outDim));
  const [most, least] = [wide({ inDim, outDim }), narrow({ inDim, outDim })];
  const random = new TorchRandom(c.projectionPrngKey); // A is drawn first
  const bases = basesOf(least, c.r);
  const isTernary = c.sparse || c.verySparse;
  const share = c.verySparse ? Math.sqrt(least) : 3;
  const initial = (fan: number, count: number): Initial => ({
    kind: "made",
    make: (data) => (isTernary ? ternary(random, data, share) : brain(random, data, { fan, count })),
  });
  const frozen = c.saveProjection ? "saved" : "derived";
  return [
    { key: "randlora_A", shape: [c.r, 1, least], initial: initial(least, 1), frozen },
    { key: "randlora_B", shape: [most, bases, c.r], initial: initial(c.r, bases), frozen },
  ];
}

/** -1, 0 and 1, with a standard deviation of 1. */
function ternary(random: TorchRandom, data: Float32Array, share: number): void {
  random.uniform(data, 0, 1);
  const bound = 1 / (2 * share);
  const values = data.map((x) => (x < bound ? -1 : x > 1 - bound ? 1 : 0));
  const deviation = deviationOf(values);
  data.set(values.map((x) => x / deviation));
}

/**
 * Uniform within 1 / sqrt(fan), then with a standard deviation of 1, rounded to bf16 as in Python:
 * [wide, count, r] matrix after matrix, `count` of them.
 */
function brain(
  random: TorchRandom,
  data: Float32Array,
  { fan, count }: { readonly fan: number; readonly count: number },
): void {
  random.uniform(data, -1 / Math.sqrt(fan), 1 / Math.sqrt(fan));
  const [end = 0] = rounded(Float32Array.of(1 / Math.sqrt(fan)));
  const values = rounded(data).map((x) => (x >= end ? -end : x)); // torch's end is not in the interval
  const [deviation = 1] = rounded(Float32Array.of(deviationOf(values)));
  const scaled = rounded(values.map((x) => x / deviation));
  const [rows, last] = [data.length / count / fan, fan];
  for (const [i, x] of scaled.entries()) {
    const matrix = Math.floor(i / (rows * last));
    const row = Math.floor(i / last) % rows;
    data[(row * count + matrix) * last + (i % last)] = x;
  }
}

/** To bf16 and back. */
function rounded(values: Float32Array): Float32Array {
  const halves = roundToHalves(values, "bf16");
  return expandToF32(new Uint8Array(halves.buffer), "bf16");
}

/** Standard deviation of a sample. */
function deviationOf(values: Float32Array): number {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1));
}

function parameters(c: RandLoraConfig, site: LinearSite): ParameterSpec[] {
  const bases = basesOf(narrow(site), c.r);
  return [
    {
      key: "randlora_lambda",
      shape: [c.r, bases],
      initial: c.initWeights ? ZERO : { kind: "normal", std: 1 },
    },
    {
      key: "randlora_gamma",
      shape: [bases, narrow(site)],
      initial: { kind: "constant", value: 1 / (c.initWeights ? Math.max(bases, narrow(site)) : wide(site)) },
    },
  ];
}

/**
 * The first matrix x goes through, [r bases, in], and the second, [out, r bases]: the narrower side is the
 * trained one.
 */
function matrices(
  { g, site, p, shared }: Pick<DeltaParts, "g" | "site" | "p" | "shared">,
  c: RandLoraConfig,
): {
  first: Tensor;
  second: Tensor;
} {
  const [width, rank] = [narrow(site), c.r * basesOf(narrow(site), c.r)];
  const a = g.slice(shared("randlora_A"), 2, 0, width); // [r, 1, narrow]
  const b = g.slice(g.slice(shared("randlora_B"), 0, 0, wide(site)), 1, 0, rank / c.r); // [wide, bases, r]
  const scaled = g.mul(g.mul(g.unsqueeze(p("randlora_lambda"), -1), a), p("randlora_gamma"));
  const trained = g.reshape(scaled, [rank, width]);
  const fixed = g.reshape(b, [wide(site), rank]);
  if (width === site.inDim) return { first: trained, second: fixed };
  return { first: g.transpose(fixed, [1, 0]), second: g.transpose(trained, [1, 0]) };
}

function forward(a: Adapted<LinearSite>, x: Tensor, c: RandLoraConfig): Tensor {
  const { g } = a;
  const { first, second } = matrices(a, c);
  const change = g.linear(g.linear(a.dropout(x, c.randloraDropout), first), second);
  return withChange(a, x, change);
}

function merge(m: Merging<LinearSite>, c: RandLoraConfig): { weight: Tensor } {
  const { first, second } = matrices(m, c);
  return withDelta(m, m.g.matmul(second, first));
}

/**
 * Sums of random low-rank bases, each with scales of its own. arXiv 2502.00987. Reference:
 * peft/tuners/randlora/layer.py
 */
export const randlora: Method<RandLoraConfig> = {
  name: "randlora",
  config: RandLoraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear: {
      parameters,
      sharedCopies: ["randlora_A", "randlora_B"],
      forward,
      merge,
      scale: (c) => c.randloraAlpha / c.r,
      structure: (c) => `dropout ${c.randloraDropout}`,
    },
    shared,
  },
};
