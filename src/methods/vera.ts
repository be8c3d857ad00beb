import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { VeraOptions, VeraValues } from "./config_types.js";
import { withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import { ONE, ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Merging, Method, MethodTable, SiteMethod } from "./method.js";
import { projections, projectionsAt } from "./projections.js";
import {
  bias,
  blocks,
  dInitial,
  drawn,
  dropout,
  fanInFanOut,
  rank,
  saving,
  startsWithoutEffect,
  targetModules,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  ...blocks,
  r: rank(256, "the rank; as few numbers are trained, it is large"),
  ...drawn("projections"),
  veraDropout: dropout,
  dInitial,
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

/** y + b o (B (d o (A x))) */
function forward(a: Adapted<LinearSite>, x: Tensor, c: VeraConfig): Tensor {
  const { g, p } = a;
  const fixed = projectionsAt(a, "vera");
  const low = g.mul(g.linear(a.dropout(x, c.veraDropout), fixed.a), p("vera_lambda_d"));
  const change = g.mul(g.linear(low, fixed.b), p("vera_lambda_b"));
  return withChange(a, x, change);
}

function merge(m: Merging<LinearSite>): { weight: Tensor } {
  const { g, p } = m;
  const { a, b } = projectionsAt(m, "vera");
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
    shared: (c, sites) => projections(c, sites, { method: "vera", inner: c.r }),
  },
};
