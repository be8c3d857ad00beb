import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Random } from "../random.js";
import { uniform } from "../random.js";
import { configClass } from "./config.js";
import type { HRAOptions, HRAValues } from "./config_types.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import { kaiming } from "./initial.js";
import type { Adapted, ConfigClass, Initial, Merging, Method, MethodTable, SiteMethod } from "./method.js";
import { bias, blocks, rank, saving, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(8, "how many reflections, the rank; an even number starts without effect"),
  applyGS: {
    kind: "flag",
    byDefault: false,
    python: "apply_GS",
    means: "make the reflections' vectors orthogonal to each other (Gram and Schmidt)",
  },
  bias: bias("hra_only"),
  initWeights: {
    kind: "flag",
    byDefault: true,
    means: "start in pairs that cancel, where r is even; off: at random",
  },
};

export type { HRAOptions };
export type HRAConfig = HRAValues;
/**
 * Config of HRA (arXiv 2405.17484). Reference: peft/tuners/hra/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, HRAConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new HRAConfig({ r: 8 }));
 * ```
 */
export const HRAConfig: ConfigClass<HRAValues, HRAOptions> = configClass("HRA", "HRAConfig", {
  options,
});

/** Each reflection twice in a row, so that all of them together do nothing. */
function isPaired(c: HRAConfig): boolean {
  return c.initWeights && c.r % 2 === 0;
}

function pairs({ r }: HRAConfig): Initial {
  const bound = 1 / Math.sqrt(r / 2);
  const make = (u: Float32Array, random: Random): void => {
    for (let i = 0; i < u.length; i += 2) u.fill((2 * uniform(random) - 1) * bound, i, i + 2); // [inDim, r]
  };
  return { kind: "made", make };
}

/** The product of reflections H = I - V T V^T: V [inDim, r], T [r, r]. */
interface Reflections {
  readonly v: Tensor;
  readonly t: Tensor;
}

/** H = (I - 2 v1 v1^T / |v1|^2) ... (I - 2 vr vr^T / |vr|^2) */
function reflections({ g, p }: Pick<Adapted<LinearSite>, "g" | "p">, c: HRAConfig): Reflections {
  const u = p("hra_u");
  const identity = square(g, c.r, (i, j) => i === j);
  if (c.applyGS) return { v: orthogonal(g, u, c.r), t: g.mul(identity, 2) };
  const products = g.matmul(u, u, { transA: true });
  const lengths = g.sum(g.mul(products, identity), 1, true); // [r, 1]: squares on the diagonal
  return { v: u, t: accumulated(g, products, g.mul(identity, g.div(2, lengths))) };
}

/**
 * T of H1 H2 = I - [V1 V2] [[T1, -T1 V1^T V2 T2], [0, T2]] [V1 V2]^T, from `single` reflections upwards: all
 * pairs of neighbours of a length at a time. `products` is V^T V.
 */
function accumulated(g: Graph, products: Tensor, single: Tensor): Tensor {
  const r = lengthAt(products.shape, 0);
  let t = single;
  for (let n = 1; n < r; n *= 2) {
    const isPair = (i: number, j: number): boolean =>
      (i / n) % 2 < 1 && Math.floor(j / n) === Math.floor(i / n) + 1;
    const between = g.mul(products, square(g, r, isPair));
    t = g.sub(t, g.matmul(g.matmul(t, between), t));
  }
  return t;
}

function square(g: Graph, r: number, isOne: (i: number, j: number) => boolean): Tensor {
  const values = Array.from({ length: r * r }, (_, at) => (isOne(Math.floor(at / r), at % r) ? 1 : 0));
  return g.constant(values, [r, r]);
}

/** Columns of length 1. */
function unit(g: Graph, u: Tensor): Tensor {
  return g.div(u, g.sqrt(g.sum(g.square(u), 0, true)));
}

/** Gram and Schmidt: each column, once it is known, is taken out of all that follow. */
function orthogonal(g: Graph, u: Tensor, r: number): Tensor {
  const columns: Tensor[] = [];
  let rest = u; // [inDim, columns left]
  for (let left = r; left > 0; left--) {
    const v = unit(g, g.slice(rest, 1, 0, 1));
    columns.push(v);
    if (left === 1) break;
    rest = g.slice(rest, 1, 1, left);
    rest = g.sub(rest, g.mul(v, g.matmul(v, rest, { transA: true })));
  }
  return g.concat(columns, 1);
}

/** y = W H x + b, where x H^T = x - ((x V) T^T) V^T for rows x */
function forward(a: Adapted<LinearSite>, x: Tensor, c: HRAConfig): Tensor {
  const { g } = a;
  const { v, t } = reflections(a, c);
  const change = g.linear(g.linear(g.linear(x, v, true), t), v);
  return a.next(g.sub(x, g.mul(change, perRow(g, a.gate, x))));
}

/** W H = W - ((W V) T) V^T */
function merge(m: Merging<LinearSite>, c: HRAConfig): { weight: Tensor } {
  const { g, site } = m;
  const { v, t } = reflections(m, c);
  const change = g.linear(g.linear(g.linear(upright(g, site, m.weight), v, true), t, true), v);
  return { weight: g.sub(m.weight, upright(g, site, change)) };
}

const linear: SiteMethod<HRAConfig, LinearSite> = {
  parameters: (c, { inDim }) => [
    { key: "hra_u", shape: [inDim, c.r], initial: isPaired(c) ? pairs(c) : kaiming(c.r) },
  ],
  forward,
  merge,
  structure: (c) => (c.applyGS ? "orthogonal" : ""),
};

/**
 * Reflects a layer's input by a chain of Householder reflections. arXiv 2405.17484.
 * Reference: peft/tuners/hra/layer.py
 */
export const hra: Method<HRAConfig> = {
  name: "hra",
  config: HRAConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
  },
};
