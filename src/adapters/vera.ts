import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import { ONE, ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type {
  Adapted,
  AdapterConfig,
  Initial,
  Json,
  Merging,
  Method,
  ParameterSpec,
  SiteMethod,
} from "./method.js";
import { TorchRandom } from "./torch_random.js";

/** Options of VeRA. */
export interface VeraOptions extends LayerOptions {
  /** The rank; as few numbers are trained, it is large. Default 256. */
  r?: number | undefined;
  /** Seed of the projections. Default 0. */
  projectionPrngKey?: number | undefined;
  /** Save the projections with the adapter (default), or draw them anew from the seed. */
  saveProjection?: boolean | undefined;
  /** Rate of dropout on the adapter's input in training. Default 0. */
  veraDropout?: number | undefined;
  /** Where the scales inside start. Default 0.1. */
  dInitial?: number | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "vera_only" | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Start without effect (default), or at random. */
  initWeights?: boolean | undefined;
}

const { exclude_modules: _, ...ownFields } = layerFields("VERA");
const fields: Readonly<Record<string, Json>> = {
  ...ownFields,
  r: 256,
  projection_prng_key: 0,
  save_projection: true,
  vera_dropout: 0,
  d_initial: 0.1,
  fan_in_fan_out: false,
  bias: "none",
  init_weights: true,
};

/** Config of VeRA (arXiv 2310.11454). Throws "adapter-config". Reference: peft/tuners/vera/config.py */
export class VeraConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "VERA";
  readonly r: number;
  readonly projectionPrngKey: number;
  readonly saveProjection: boolean;
  readonly veraDropout: number;
  readonly dInitial: number;
  readonly bias: "none" | "all" | "vera_only";
  readonly fanInFanOut: boolean;
  readonly initWeights: boolean;

  constructor(options: VeraOptions = {}) {
    const read = new OptionReader("VeraConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 256;
    this.projectionPrngKey = read.integer("projectionPrngKey", { min: 0, max: 2 ** 32 - 1 }) ?? 0;
    this.saveProjection = read.flag("saveProjection", true);
    this.veraDropout = read.rate("veraDropout");
    this.dInitial = read.number("dInitial") ?? 0.1;
    this.bias = read.oneOf("bias", ["none", "all", "vera_only"], "none");
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.initWeights = read.flag("initWeights", true);
    read.done();
  }
}

/** A [r, in] and B [out, r] for the widest layers: others use their first columns and rows. */
function shared(c: VeraConfig, sites: readonly LinearSite[]): ParameterSpec[] {
  const inDim = Math.max(...sites.map((s) => s.inDim));
  const outDim = Math.max(...sites.map((s) => s.outDim));
  const random = new TorchRandom(c.projectionPrngKey); // A is drawn first
  const drawn = (fan: number): Initial => {
    const bound = Math.sqrt(3) * (Math.SQRT2 / Math.sqrt(fan));
    return { kind: "made", make: (data) => random.uniform(data, -bound, bound) };
  };
  const frozen = c.saveProjection ? "saved" : "derived";
  return [
    { key: "vera_A", shape: [c.r, inDim], initial: drawn(inDim), frozen },
    { key: "vera_B", shape: [outDim, c.r], initial: drawn(c.r), frozen },
  ];
}

type Parts = Pick<Adapted<LinearSite>, "g" | "site" | "p" | "shared">;

function projections({ g, site, shared }: Parts): { a: Tensor; b: Tensor } {
  return {
    a: g.slice(shared("vera_A"), 1, 0, site.inDim),
    b: g.slice(shared("vera_B"), 0, 0, site.outDim),
  };
}

/** y + b o (B (d o (A x))) */
function forward(a: Adapted<LinearSite>, x: Tensor, c: VeraConfig): Tensor {
  const { g, p } = a;
  const fixed = projections(a);
  const low = g.mul(g.linear(a.dropout(x, c.veraDropout), fixed.a), p("vera_lambda_d"));
  const change = g.mul(g.linear(low, fixed.b), p("vera_lambda_b"));
  return g.add(a.next(x), g.mul(change, perRow(g, a.scale, change)));
}

function merge(m: Merging<LinearSite>): { weight: Tensor } {
  const { g, site, p } = m;
  const { a, b } = projections(m);
  const column = (key: string): Tensor => g.unsqueeze(p(key), -1);
  const delta = g.matmul(g.mul(column("vera_lambda_b"), b), g.mul(column("vera_lambda_d"), a));
  return { weight: g.add(m.weight, g.mul(upright(g, site, delta), m.scale)) };
}

const linear: SiteMethod<VeraConfig, LinearSite> = {
  parameters: (c, site) => [
    {
      key: "vera_lambda_b",
      shape: [site.outDim],
      initial: c.initWeights ? ZERO : ONE,
    },
    {
      key: "vera_lambda_d",
      shape: [c.r],
      initial: c.initWeights ? { kind: "constant", value: c.dInitial } : { kind: "normal", std: 1 },
    },
  ],
  forward,
  merge,
  structure: (c) => `dropout ${c.veraDropout}`,
};

/** Two random matrices that all layers share, with scales that each trains. arXiv 2310.11454. Reference: peft/tuners/vera/layer.py */
export const vera: Method<VeraConfig> = {
  peftType: "VERA",
  name: "vera",
  fields,
  floats: ["vera_dropout"],
  create: (options) => new VeraConfig(options as VeraOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    shared,
  },
};
