import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { BeftOptions, BeftValues } from "./config_types.js";
import { perRow } from "./gate.js";
import { ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Merged, Merging, Method, MethodTable, SiteMethod } from "./method.js";
import { saving, startsWithoutEffect, targetModules } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  initWeights: startsWithoutEffect,
};

export type { BeftOptions };
export type BeftConfig = BeftValues;
/**
 * Config of BEFT (arXiv 2509.15974). Reference: peft/tuners/beft/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { BeftConfig, getPeftModel } from "peft.js";
 *
 * const adapted = getPeftModel(base, new BeftConfig({ targetModules: ["v_proj"] }));
 * ```
 */
export const BeftConfig: ConfigClass<BeftValues, BeftOptions> = configClass("BEFT", "BeftConfig", {
  options,
});

/** y + b, b [1, out] */
function forward(a: Adapted<LinearSite>, x: Tensor): Tensor {
  const { g, p, scale } = a;
  const y = a.next(x);
  return g.add(y, g.mul(p("beft_bias"), perRow(g, scale, y)));
}

function merge({ g, site, p, scale, weight, bias }: Merging<LinearSite>): Merged {
  const change = g.mul(g.reshape(p("beft_bias"), [site.outDim]), scale);
  return { weight, bias: bias === undefined ? change : g.add(bias, change) };
}

const linear: SiteMethod<BeftConfig, LinearSite> = {
  parameters: (c, { outDim }) => [
    {
      key: "beft_bias",
      shape: [1, outDim],
      initial: c.initWeights ? ZERO : { kind: "normal", std: 1 },
    },
  ],
  forward,
  merge,
  mergesInto: "bias",
  structure: () => "",
};

/**
 * A bias for the values of attention. arXiv 2509.15974. It has default targets wherever a model names its
 * values apart, Python for fewer models. Reference: peft/tuners/beft/layer.py
 */
export const beft: Method<BeftConfig> = {
  name: "beft",
  config: BeftConfig,
  layers: {
    select: (c) => c,
    defaults: ({ targets }) => {
      const values = targets?.filter((name) => /^v(alue)?(_proj)?$/.test(name));
      return values?.length === 0 ? undefined : values;
    },
    linear,
  },
};
