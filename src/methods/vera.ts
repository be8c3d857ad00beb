import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { VeraOptions, VeraValues } from "./config_types.js";
import { withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import { ONE, ZERO } from "./initial.js";
import type {
  Adapted,
  ConfigClass,
  Initial,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  SiteMethod,
} from "./method.js";
import {
  bias,
  blocks,
  dropout,
  fanInFanOut,
  rank,
  saving,
  seedOf,
  startsWithoutEffect,
  targetModules,
} from "./shared_options.js";
import { TorchRandom } from "./torch_random.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  ...blocks,
  r: rank(256, "the rank; as few numbers are trained, it is large"),
  projectionPrngKey: seedOf("of the projections", 0),
  saveProjection: {
    kind: "flag",
    byDefault: true,
    means: "save the projections with the adapter; off: draw them again from the seed",
  },
  veraDropout: dropout,
  dInitial: { kind: "number", byDefault: 0.1, means: "where the scales inside start" },
  bias: bias("vera_only"),
  fanInFanOut,
  initWeights: startsWithoutEffect,
};

export type { VeraOptions };
export type VeraConfig = VeraValues;
/**
 * Config of VeRA (arXiv 2310.11454). Reference: peft/tuners/vera/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, VeraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new VeraConfig({ r: 256 }));
 * ```
 */
export const VeraConfig: ConfigClass<VeraValues, VeraOptions> = configClass("VERA", "VeraConfig", {
  options,
});

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
  return withChange(a, x, change);
}

function merge(m: Merging<LinearSite>): { weight: Tensor } {
  const { g, p } = m;
  const { a, b } = projections(m);
  const column = (key: string): Tensor => g.unsqueeze(p(key), -1);
  const delta = g.matmul(g.mul(column("vera_lambda_b"), b), g.mul(column("vera_lambda_d"), a));
  return withDelta(m, delta);
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

/**
 * Two random matrices that all layers share, with scales that each trains. arXiv 2310.11454. Reference:
 * peft/tuners/vera/layer.py
 */
export const vera: Method<VeraConfig> = {
  name: "vera",
  config: VeraConfig,
  learningRate: { value: 4e-3, from: "its paper" },
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    shared,
  },
};
