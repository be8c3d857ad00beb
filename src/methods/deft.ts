import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { configClass } from "./config.js";
import type { DeftOptions, DeftValues } from "./config_types.js";
import { qr } from "./decomposition.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import type {
  Adapted,
  BaseLayer,
  ConfigClass,
  Initial,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  Prepared,
  SiteMethod,
} from "./method.js";
import {
  bias,
  blocks,
  dropout,
  fanInFanOut,
  rank,
  saving,
  startsWithoutEffect,
  targets,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(8, "how many directions of a layer's output are taken out and given anew"),
  decompositionMethod: {
    kind: "text",
    choices: ["relu", "qr"],
    byDefault: "relu",
    means: "how directions become a projection: relu by P relu(P)^T, qr by an orthonormal basis",
  },
  initScale: {
    kind: "number",
    min: 0,
    byDefault: 1,
    float: true,
    means: "factor of the random numbers in R where initWeights is off",
  },
  alpha: {
    kind: "whole",
    min: 0,
    otherwise: "no factor",
    also: ["loraAlpha"],
    means: "what is given anew is scaled by alpha / r",
  },
  para: { kind: "flag", byDefault: false, means: "take directions out and give nothing anew (PaRa)" },
  fanInFanOut,
  deftDropout: dropout,
  initWeights: startsWithoutEffect,
  bias: bias("deft_only"),
};

export type { DeftOptions };
export type DeftConfig = DeftValues;
/**
 * Config of DEFT. Reference: peft/tuners/deft/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { DeftConfig, getPeftModel } from "peft.js";
 *
 * const adapted = getPeftModel(base, new DeftConfig({ r: 8 }));
 * ```
 */
export const DeftConfig: ConfigClass<DeftValues, DeftOptions> = configClass("DEFT", "DeftConfig", {
  options,
});

const rankAt = (c: DeftConfig, { outDim }: LinearSite): number => Math.min(c.r, outDim);
const scaleAt = (c: DeftConfig, site: LinearSite): number => (c.alpha ? c.alpha / rankAt(c, site) : 1);

function parameters(c: DeftConfig, site: LinearSite): ParameterSpec[] {
  const r = rankAt(c, site);
  const given: Initial = c.initWeights ? { kind: "prepared" } : { kind: "normal", std: 0.02 * c.initScale };
  return [
    { key: "deft_P", shape: [site.outDim, r], initial: { kind: "normal", std: 0.02 } },
    ...(c.para ? [] : [{ key: "deft_R", shape: [r, site.inDim], initial: given }]),
  ];
}

/** R = right^T W / s: what is given anew is at first what is taken out. */
function prepare(
  c: DeftConfig,
  site: LinearSite,
  weight: Float32Array,
  _: () => number,
  { p }: BaseLayer,
): Prepared | undefined {
  if (c.para || !c.initWeights) return undefined;
  const { inDim, outDim, transposed } = site;
  const r = rankAt(c, site);
  const start = Float64Array.from(p("deft_P"));
  const right =
    c.decompositionMethod === "qr"
      ? qr({ rows: outDim, cols: r, data: start }, r).q.data
      : start.map((x) => Math.max(0, x));
  const out = new Float64Array(r * inDim);
  for (let o = 0; o < outDim; o++)
    for (let k = 0; k < r; k++) {
      const factor = at(right, o * r + k) / scaleAt(c, site);
      for (let i = 0; i < inDim; i++)
        out[k * inDim + i]! += factor * at(weight, transposed ? i * outDim + o : o * inDim + i);
    }
  return { parameters: { deft_R: Float32Array.from(out) } };
}

/** P's directions [out, r] as they are given anew (Q) and as they are taken out (right). */
function directions(
  { g, p }: Pick<Adapted<LinearSite>, "g" | "p">,
  c: DeftConfig,
): { readonly q: Tensor; readonly right: Tensor } {
  const given = p("deft_P");
  if (c.decompositionMethod === "relu") return { q: given, right: g.relu(given) };
  const q = orthonormal(g, given);
  return { q, right: q };
}

/**
 * Q of P = Q R by Householder's reflections, with the signs that LAPACK leaves: the first columns of
 * H1 H2 ... Hr, where Hk = I - 2 v v^T / v^T v takes column k of what is left to +-|x| e1.
 */
function orthonormal(g: Graph, given: Tensor): Tensor {
  const [rows, columns] = [lengthAt(given.shape, 0), lengthAt(given.shape, 1)];
  const mirrors: { readonly v: Tensor; readonly factor: Tensor }[] = [];
  const reflect = (x: Tensor, v: Tensor, factor: Tensor): Tensor =>
    g.sub(x, g.mul(g.mul(v, factor), g.matmul(v, x, { transA: true })));
  let rest = given; // [rows - k, columns - k]
  for (let k = 0; k < Math.min(columns, rows - 1); k++) {
    const x = g.slice(rest, 1, 0, 1);
    const first = g.slice(x, 0, 0, 1);
    const length = g.sqrt(g.sum(g.square(x), 0, true));
    const signed = g.where(g.less(first, 0), g.neg(length), length);
    const v = g.concat([g.add(first, signed), g.slice(x, 0, 1, rows - k)], 0);
    const factor = g.div(2, g.sum(g.square(v), 0, true));
    mirrors.push({ v: g.pad(v, 0, k, 0), factor }); // [rows, 1]
    if (k + 1 === columns) break;
    rest = g.slice(g.slice(reflect(rest, v, factor), 0, 1, rows - k), 1, 1, columns - k);
  }
  const identity = g.equal(g.reshape(g.iota(rows), [rows, 1]), g.iota(columns));
  let q = g.cast(identity, "f32");
  for (const { v, factor } of mirrors.reverse()) q = reflect(q, v, factor);
  return q;
}

/** y + Q (s R x - right^T W x) */
function forward(a: Adapted<LinearSite>, x: Tensor, c: DeftConfig): Tensor {
  const { g, site, p, scale, gate } = a;
  const y = a.next(x);
  const { q, right } = directions(a, c);
  const taken = g.linear(g.linear(x, a.weight(), site.transposed), right, true); // [..., r]
  const out = g.mul(taken, perRow(g, gate, taken));
  if (c.para) return g.sub(y, g.linear(out, q));
  const given = g.linear(a.dropout(x, c.deftDropout), p("deft_R"));
  return g.add(y, g.linear(g.sub(g.mul(given, perRow(g, scale, given)), out), q));
}

function merge(m: Merging<LinearSite>, c: DeftConfig): { weight: Tensor } {
  const { g, site, p, scale } = m;
  const { q, right } = directions(m, c);
  const taken = g.matmul(right, upright(g, site, m.weight), { transA: true }); // [r, in]
  const low = c.para ? g.neg(taken) : g.sub(g.mul(p("deft_R"), scale), taken);
  return { weight: g.add(m.weight, upright(g, site, g.matmul(q, low))) };
}

const linear: SiteMethod<DeftConfig, LinearSite> = {
  parameters,
  forward,
  merge,
  prepare,
  scale: scaleAt,
  structure: (c) => `${c.decompositionMethod} ${c.para} dropout ${c.deftDropout}`,
};

/**
 * Takes directions out of a layer's output and gives them anew from its input. Reference:
 * peft/tuners/deft/layer.py
 */
export const deft: Method<DeftConfig> = {
  name: "deft",
  config: DeftConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
  },
};
