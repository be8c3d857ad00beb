import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { configClass } from "./config.js";
import type { LilyOptions, LilyValues } from "./config_types.js";
import { withChange } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Method, MethodTable, ParameterSpec, Site, SiteMethod } from "./method.js";
import { blocks, rank, saving, startsWithoutEffect, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(32, "the rank: A is [r, in], each B is [r, out]"),
  strideA: {
    kind: "whole",
    min: 1,
    byDefault: 1,
    python: "stride_A",
    means: "how many layers, one after another, share an A",
  },
  numB: {
    kind: "whole",
    min: 1,
    byDefault: 2,
    python: "num_B",
    means: "how many B the layers of one kind share",
  },
  scaling: { kind: "number", byDefault: 1, float: true, also: ["alpha"], means: "factor of the change" },
  initWeights: startsWithoutEffect,
};

export type { LilyOptions };
export type LilyConfig = LilyValues;
/**
 * Config of Lily (arXiv 2407.09946). Reference: peft/tuners/lily/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, LilyConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new LilyConfig({ r: 32, numB: 2 }));
 * ```
 */
export const LilyConfig: ConfigClass<LilyValues, LilyOptions> = configClass("LILY", "LilyConfig", {
  options,
});

/** Layers of one target and shape, in the model's order: what share their B. */
function groupOf(c: LilyConfig, site: LinearSite, all: readonly Site[]): readonly LinearSite[] {
  const kind = ({ path, inDim, outDim }: LinearSite): string => {
    const names = Array.isArray(c.targetModules) ? (c.targetModules as readonly string[]) : [];
    const target = names.findLast((name) => path.endsWith(name)) ?? path.slice(path.lastIndexOf(".") + 1);
    return `${target} ${outDim} ${inDim}`;
  };
  const linears = all.filter((other) => "inDim" in other);
  return linears.filter((other) => kind(other) === kind(site));
}

function parameters(
  c: LilyConfig,
  site: LinearSite,
  all: readonly Site[] = [site],
): readonly ParameterSpec[] {
  const { r, numB, strideA } = c;
  const group = groupOf(c, site, all);
  const place = group.findIndex(({ path }) => path === site.path);
  const firstOf = (i: number): string | undefined => (i === place ? undefined : at(group, i).path);
  const b = c.initWeights ? ZERO : kaiming(site.outDim);
  return [
    {
      ...{ key: "lily_A.weight", shape: [r, site.inDim], initial: kaiming(site.inDim) },
      of: firstOf(place - (place % strideA)),
    },
    { key: "lily_B.weight", shape: [numB * r, site.outDim], initial: b, of: firstOf(0) },
    { key: "lily_router.weight", shape: [numB, r], initial: kaiming(r) },
  ];
}

/**
 * y + s h (sum_e p_e B_e), h = x A^T; p is the mean of softmax(h router^T) over all tokens of the batch,
 * padding too: what a row gives depends on the rows beside it, as in Python.
 */
function forward(a: Adapted<LinearSite>, x: Tensor, { r, numB }: LilyConfig): Tensor {
  const { g, p, site } = a;
  const h = g.linear(x, p("lily_A.weight"));
  const chosen = g.softmax(g.linear(h, p("lily_router.weight"))); // [..., experts]
  const share = g.mean(
    chosen,
    chosen.shape.slice(0, -1).map((_, i) => i),
  );
  const all = g.reshape(p("lily_B.weight"), [numB, r * site.outDim]);
  const b = g.reshape(g.matmul(g.unsqueeze(share, 0), all), [r, site.outDim]);
  return withChange(a, x, g.matmul(h, b));
}

const linear: SiteMethod<LilyConfig, LinearSite> = {
  parameters,
  forward,
  scale: (c) => c.scaling,
  structure: ({ r, numB }) => `${r} ${numB}`,
};

/**
 * Low-rank pairs whose A neighbouring layers share, and whose B all layers of a kind do, mixed by a router.
 * arXiv 2407.09946. Reference: peft/tuners/lily/layer.py, model.py
 */
export const lily: Method<LilyConfig> = {
  name: "lily",
  config: LilyConfig,
  wholeRows: () => true,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
