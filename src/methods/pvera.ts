import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { PveraOptions, PveraValues } from "./config_types.js";
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
  pveraDropout: dropout,
  dInitial,
  bias: bias("pvera_only"),
  fanInFanOut,
  initWeights: startsWithoutEffect,
};

export type { PveraOptions };
export type PveraConfig = PveraValues;
/**
 * Config of PVeRA (arXiv 2512.07703). Reference: peft/tuners/pvera/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, PveraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new PveraConfig({ r: 256 }));
 * ```
 */
export const PveraConfig: ConfigClass<PveraValues, PveraOptions> = configClass("PVERA", "PveraConfig", {
  options,
  unbuilt: { sample_at_inference: false },
  ignored: { generator_seed: null },
});

/** y + b o (B z); z = mu + e o exp(v / 2), [mu, v] = d o (A x), e standard normal in training and else 0. */
function forward(a: Adapted<LinearSite>, x: Tensor, c: PveraConfig): Tensor {
  const { g, p } = a;
  const fixed = projectionsAt(a, "pvera");
  const both = g.mul(g.linear(a.dropout(x, c.pveraDropout), fixed.a), p("pvera_lambda_d")); // [..., 2 r]
  const mu = g.slice(both, -1, 0, c.r);
  const noise = a.normal(mu);
  const deviation = g.exp(g.mul(g.slice(both, -1, c.r, 2 * c.r), 0.5));
  const z = noise === undefined ? mu : g.add(mu, g.mul(noise, deviation));
  return withChange(a, x, g.mul(g.linear(z, fixed.b), p("pvera_lambda_b")));
}

function merge(m: Merging<LinearSite>, c: PveraConfig): { weight: Tensor } {
  const { g, p } = m;
  const { a, b } = projectionsAt(m, "pvera");
  const column = (key: string): Tensor => g.unsqueeze(p(key), -1);
  const mean = g.slice(g.mul(column("pvera_lambda_d"), a), 0, 0, c.r); // [r, in]
  return withDelta(m, g.matmul(g.mul(column("pvera_lambda_b"), b), mean));
}

const linear: SiteMethod<PveraConfig, LinearSite> = {
  parameters: (c, site) => [
    { key: "pvera_lambda_b", shape: [site.outDim], initial: c.initWeights ? ZERO : ONE },
    {
      key: "pvera_lambda_d",
      shape: [2 * c.r],
      initial: c.initWeights ? { kind: "constant", value: c.dInitial } : { kind: "normal", std: 1 },
    },
  ],
  forward,
  merge,
  structure: (c) => `dropout ${c.pveraDropout}`,
};

/**
 * VeRA whose hidden values are drawn from a learnt distribution in training. arXiv 2512.07703. It is its mean
 * in evaluation. Reference: peft/tuners/pvera/layer.py
 */
export const pvera: Method<PveraConfig> = {
  name: "pvera",
  config: PveraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    shared: (c, sites) => projections(c, sites, { method: "pvera", inner: 2 * c.r }),
  },
};
