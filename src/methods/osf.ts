import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { normal } from "../random.js";
import { option, words } from "../words.js";
import { configClass, withFields } from "./config.js";
import type { OSFOptions, OSFValues } from "./config_types.js";
import type { Dense } from "./decomposition.js";
import { dense, svd } from "./decomposition.js";
import { withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import type {
  Adapted,
  ConfigClass,
  LayerLists,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  Place,
  Prepared,
  SiteMethod,
} from "./method.js";
import { byPattern } from "./pattern.js";
import { saving, startsWithoutEffect, targetModules } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  targetModules: { ...targetModules, otherwise: "all linear layers" },
  effectiveRank: {
    kind: "number",
    above: 0,
    otherwise: "half of the smaller side",
    also: ["r", "rank"],
    means: "how many singular directions of each weight stay as they are; below 1: a share of them",
  },
  rankPattern: {
    kind: "numbersByName",
    byDefault: {},
    inFile: null,
    means: "the same by a pattern that is found in a layer's name, where it differs",
  },
  initWeights: startsWithoutEffect,
};

export type { OSFOptions };
export type OSFConfig = OSFValues;
/**
 * Config of OSF (arXiv 2504.07097). Reference: peft/tuners/osf/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, OSFConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new OSFConfig({ effectiveRank: 0.9, targetModules: ["q_proj"] }));
 * ```
 */
export const OSFConfig: ConfigClass<OSFValues, OSFOptions> = configClass("OSF", "OSFConfig", {
  options,
  ignored: { target_svd_config: null },
});

/** How many directions stay as they are, and how many train. */
function ranksAt(c: OSFConfig, { path, inDim, outDim }: LinearSite): { high: number; low: number } {
  const all = Math.min(inDim, outDim);
  const asked = byPattern(c, "rankPattern", path, "anywhere") ?? c.effectiveRank ?? 0.5;
  const high = Math.min(all, Math.floor(asked < 1 ? asked * all : asked));
  if (high > 0 && high < all) return { high, low: all - high };
  throw new PeftError("adapter-config", {
    what: words`${option("effectiveRank")} is ${asked} at ${path}, which keeps ${high} of ${all} directions.`,
    why: "some must stay as they are, and the others train.",
    fix: words`${option("effectiveRank", Math.max(1, Math.floor(all / 2)))}.`,
  });
}

const KEYS = ["U_low", "S_low", "V_low"] as const;
const trained = (key: (typeof KEYS)[number]): string => `osf_svd_params.${key}`;
const started = (key: (typeof KEYS)[number]): string => `osf_start.${key}`;

/** A side's singular vectors are all there are where it is the smaller one: what is not low is high. */
const sides = {
  out: { key: "osf_high.U", isWhole: ({ inDim, outDim }: LinearSite) => outDim <= inDim },
  in: { key: "osf_high.V", isWhole: ({ inDim, outDim }: LinearSite) => outDim >= inDim },
} as const;

function parameters(c: OSFConfig, site: LinearSite): ParameterSpec[] {
  const { high, low } = ranksAt(c, site);
  const shapes = { U_low: [site.outDim, low], S_low: [low], V_low: [low, site.inDim] } as const;
  const derived = (key: string, shape: readonly number[]): ParameterSpec => ({
    ...{ key, shape, frozen: "derived" },
    initial: { kind: "prepared" },
  });
  return [
    ...KEYS.map((key) => ({ key: trained(key), shape: shapes[key], initial: { kind: "prepared" } as const })),
    ...KEYS.map((key) => derived(started(key), shapes[key])),
    ...(sides.out.isWhole(site) ? [] : [derived(sides.out.key, [site.outDim, high])]),
    ...(sides.in.isWhole(site) ? [] : [derived(sides.in.key, [high, site.inDim])]),
  ];
}

/** Columns of a matrix, as columns or as rows. */
function columns({ rows, cols, data }: Dense, from: number, to: number, asRows: boolean): Float32Array {
  const width = to - from;
  const out = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++)
    for (let k = 0; k < width; k++)
      out[asRows ? k * rows + i : i * width + k] = at(data, i * cols + from + k);
  return out;
}

function prepare(c: OSFConfig, site: LinearSite, weight: Float32Array, random: () => number): Prepared {
  const { high, low } = ranksAt(c, site);
  const { u, s, v } = svd(dense({ ...site, weight }), high + low);
  const start = {
    U_low: columns(u, high, high + low, false),
    S_low: Float32Array.from(s.slice(high)),
    V_low: columns(v, high, high + low, true),
  };
  const first = (x: Float32Array): Float32Array => (c.initWeights ? x : x.map(() => normal(random)));
  return {
    parameters: {
      ...Object.fromEntries(KEYS.map((key) => [started(key), start[key]])),
      ...Object.fromEntries(KEYS.map((key) => [trained(key), first(start[key])])),
      ...(sides.out.isWhole(site) ? {} : { [sides.out.key]: columns(u, 0, high, false) }),
      ...(sides.in.isWhole(site) ? {} : { [sides.in.key]: columns(v, 0, high, true) }),
    },
  };
}

type Parts = Pick<Place, "g" | "p"> & { readonly site: LinearSite };

/** What of rows [..., out] or [..., in] does not lie along the directions that stay. */
function withoutHigh({ g, p, site }: Parts, x: Tensor, side: keyof typeof sides): Tensor {
  const { key, isWhole } = sides[side];
  const isOut = side === "out";
  const along = (basis: Tensor): Tensor => g.linear(g.linear(x, basis, isOut), basis, !isOut);
  return isWhole(site) ? along(p(started(isOut ? "U_low" : "V_low"))) : g.sub(x, along(p(key)));
}

/**
 * y + U S V x - U0 S0 V0 x. The gradients of U and V are those without the directions that stay: each stands
 * as a constant, and as a difference to it, zero, behind which the rest of a gradient is left out.
 */
function forward(a: Adapted<LinearSite>, x: Tensor): Tensor {
  const { g, p } = a;
  const [u, s, v] = [p(trained("U_low")), p(trained("S_low")), p(trained("V_low"))];
  const moved = (tensor: Tensor): Tensor => g.sub(tensor, g.detach(tensor));
  const read = g.detach(withoutHigh(a, x, "in"));
  const low = g.mul(g.add(g.linear(x, g.detach(v)), g.linear(read, moved(v))), s);
  const written = withoutHigh(a, g.linear(g.detach(low), moved(u)), "out");
  const now = g.add(g.linear(low, g.detach(u)), written);
  const before = g.linear(g.mul(g.linear(x, p(started("V_low"))), p(started("S_low"))), p(started("U_low")));
  return withChange(a, x, g.sub(now, before));
}

function merge(m: Merging<LinearSite>): { weight: Tensor } {
  const { g, p } = m;
  const product = (name: typeof trained): Tensor =>
    g.matmul(g.mul(p(name("U_low")), p(name("S_low"))), p(name("V_low")));
  return withDelta(m, g.sub(product(trained), product(started)));
}

const linear: SiteMethod<OSFConfig, LinearSite> = {
  parameters,
  forward,
  merge,
  prepare,
  structure: () => "",
};

/** Python's own table, where it differs from all linear layers: models whose projections are one. */
function resolve(c: OSFConfig, { targets }: LayerLists): OSFConfig {
  const fused = targets?.includes("query_key_value") ? ["query_key_value", "dense_4h_to_h"] : "all-linear";
  return withFields(c, { targetModules: c.targetModules ?? fused });
}

/**
 * The directions of each weight that matter least to it, while those that matter most stay. arXiv 2504.07097.
 * Reference: peft/tuners/osf/layer.py
 */
export const osf: Method<OSFConfig> = {
  name: "osf",
  config: OSFConfig,
  layers: {
    select: (c) => c,
    defaults: () => undefined,
    resolve,
    linear,
  },
};
