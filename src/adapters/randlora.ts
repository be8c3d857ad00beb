import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import { ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { Adapted, AdapterConfig, Initial, Json, Merging, Method, ParameterSpec } from "./method.js";
import { TorchRandom } from "./torch_random.js";

/** Options of RandLoRA. */
export interface RandLoraOptions extends Omit<LayerOptions, "excludeModules"> {
  /** The rank of each random base; the smaller, the more numbers are trained. Default 32. */
  r?: number | undefined;
  /** Seed of the bases. Default 0. */
  projectionPrngKey?: number | undefined;
  /** Save the bases with the adapter. Python's false is not built: its bases are drawn in 16 bits. */
  saveProjection?: boolean | undefined;
  /** Bases of -1, 0 and 1, two thirds of them 0. Default false. */
  sparse?: boolean | undefined;
  /** The same with fewer that are not 0. Default false. */
  verySparse?: boolean | undefined;
  /** Rate of dropout on the adapter's input in training. Default 0. */
  randloraDropout?: number | undefined;
  /** Scale of the update: alpha / r. Default 640. */
  randloraAlpha?: number | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "randlora_only" | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Start without effect (default), or at random. */
  initWeights?: boolean | undefined;
}

const { exclude_modules: _, ...ownFields } = layerFields("RANDLORA");
const fields: Readonly<Record<string, Json>> = {
  ...ownFields,
  r: 32,
  projection_prng_key: 0,
  save_projection: true,
  sparse: false,
  very_sparse: false,
  randlora_dropout: 0,
  fan_in_fan_out: false,
  randlora_alpha: 640,
  bias: "none",
  init_weights: true,
};

/** Config of RandLoRA (arXiv 2502.00987). Throws "adapter-config". Reference: peft/tuners/randlora/config.py */
export class RandLoraConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "RANDLORA";
  readonly r: number;
  readonly projectionPrngKey: number;
  readonly saveProjection: boolean;
  readonly sparse: boolean;
  readonly verySparse: boolean;
  readonly randloraDropout: number;
  readonly randloraAlpha: number;
  readonly bias: "none" | "all" | "randlora_only";
  readonly fanInFanOut: boolean;
  readonly initWeights: boolean;

  constructor(options: RandLoraOptions = {}) {
    const read = new OptionReader("RandLoraConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 32;
    this.projectionPrngKey = read.integer("projectionPrngKey", { min: 0, max: 2 ** 32 - 1 }) ?? 0;
    this.saveProjection = read.flag("saveProjection", true);
    this.sparse = read.flag("sparse", false);
    this.verySparse = read.flag("verySparse", false);
    this.randloraDropout = read.rate("randloraDropout");
    this.randloraAlpha = read.number("randloraAlpha") ?? 640;
    this.bias = read.oneOf("bias", ["none", "all", "randlora_only"], "none");
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.initWeights = read.flag("initWeights", true);
    if (!this.saveProjection)
      read.fault("saveProjection is false.", "Python draws its bases in 16 bits, which is not built here.", {
        fix: "saveProjection: true; in Python, save the adapter with save_projection=True.",
      });
    read.done();
  }
}

const basesOf = (width: number, r: number): number => Math.ceil(width / r);
const narrow = ({ inDim, outDim }: Pick<LinearSite, "inDim" | "outDim">): number => Math.min(inDim, outDim);
const wide = ({ inDim, outDim }: Pick<LinearSite, "inDim" | "outDim">): number => Math.max(inDim, outDim);

/** A [r, 1, narrow] and B [wide, bases, r] for the largest widths of all layers: others use parts of them. */
function shared(c: RandLoraConfig, sites: readonly LinearSite[]): ParameterSpec[] {
  const inDim = Math.max(...sites.map((s) => s.inDim));
  const outDim = Math.max(...sites.map((s) => s.outDim));
  const [most, least] = [wide({ inDim, outDim }), narrow({ inDim, outDim })];
  const random = new TorchRandom(c.projectionPrngKey); // A is drawn first
  const share = c.verySparse ? Math.sqrt(least) : 3;
  const make = (data: Float32Array): void => {
    random.uniform(data, 0, 1);
    const ternary = (x: number): number => (x < 1 / (2 * share) ? -1 : x > 1 - 1 / (2 * share) ? 1 : 0);
    const values = data.map((x) => (c.sparse || c.verySparse ? ternary(x) : 2 * x - 1));
    const deviation = deviationOf(values);
    data.set(values.map((x) => x / deviation));
  };
  const initial: Initial = { kind: "made", make };
  return [
    { key: "randlora_A", shape: [c.r, 1, least], initial, frozen: "saved" },
    { key: "randlora_B", shape: [most, basesOf(least, c.r), c.r], initial, frozen: "saved" },
  ];
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

/** The first matrix x goes through, [r bases, in], and the second, [out, r bases]: the narrower side is the trained one. */
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
  return g.add(a.next(x), g.mul(change, perRow(g, a.scale, change)));
}

function merge(m: Merging<LinearSite>, c: RandLoraConfig): { weight: Tensor } {
  const { g, site } = m;
  const { first, second } = matrices(m, c);
  return { weight: g.add(m.weight, g.mul(upright(g, site, g.matmul(second, first)), m.scale)) };
}

/** Sums of random low-rank bases, each with scales of its own. arXiv 2502.00987. Reference: peft/tuners/randlora/layer.py */
export const randlora: Method<RandLoraConfig> = {
  peftType: "RANDLORA",
  name: "randlora",
  fields,
  floats: ["randlora_dropout"],
  create: (options) => new RandLoraConfig(options as RandLoraOptions),
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
