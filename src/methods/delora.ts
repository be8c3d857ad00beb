import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { configClass } from "./config.js";
import type { DeloraOptions, DeloraValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { perRow } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type {
  Adapted,
  ConfigClass,
  Method,
  MethodTable,
  ParameterSpec,
  Prepared,
  SiteMethod,
} from "./method.js";
import { byPattern } from "./pattern.js";
import {
  bias,
  blocks,
  dropout,
  rank,
  rankPattern,
  saving,
  startsWithoutEffect,
  targets,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(8, "the rank: A is [r, in], B is [out, r]"),
  deloraLambda: { kind: "number", byDefault: 15, means: "where the bound of the update's norm starts" },
  moduleDropout: dropout,
  bias: bias("delora_only"),
  initWeights: startsWithoutEffect,
  rankPattern,
  lambdaPattern: {
    kind: "numbersByName",
    byDefault: {},
    means: "bounds by layer name or pattern where they differ from deloraLambda",
  },
};

export type { DeloraOptions };
export type DeloraConfig = DeloraValues;
/**
 * Config of DeLoRA (arXiv 2503.18225). Reference: peft/tuners/delora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, DeloraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new DeloraConfig({ r: 8 }));
 * ```
 */
export const DeloraConfig: ConfigClass<DeloraValues, DeloraOptions> = configClass("DELORA", "DeloraConfig", {
  options,
});

const rankOf = (c: DeloraConfig, { path }: LinearSite): number => byPattern(c, "rankPattern", path) ?? c.r;

function parameters(c: DeloraConfig, site: LinearSite): ParameterSpec[] {
  const { path, inDim, outDim } = site;
  const r = rankOf(c, site);
  const bound = byPattern(c, "lambdaPattern", path) ?? c.deloraLambda;
  const b = c.initWeights ? ZERO : kaiming(r);
  return [
    { key: "delora_A", shape: [r, inDim], initial: kaiming(inDim), free: [0] },
    { key: "delora_B", shape: [outDim, r], initial: b, free: [1] },
    { key: "delora_lambda", shape: [1], initial: { kind: "constant", value: bound } },
    { key: "delora_w_norm", shape: [inDim], initial: { kind: "prepared" }, frozen: "saved" },
  ];
}

/** w_norm: lengths of the base's columns, one per input. */
function prepare(_: DeloraConfig, { inDim, outDim, transposed }: LinearSite, weight: Float32Array): Prepared {
  const [perIn, perOut] = transposed ? [outDim, 1] : [1, inDim];
  const norm = Float32Array.from({ length: inDim }, (_, i) => {
    let sum = 0;
    for (let o = 0; o < outDim; o++) sum += at(weight, i * perIn + o * perOut) ** 2;
    return Math.sqrt(sum);
  });
  return { parameters: { delora_w_norm: norm } };
}

/** Lengths along an axis, none below 1e-4: bounded before the root, whose slope at 0 is infinite. */
function lengths(g: Graph, x: Tensor, axis: number): Tensor {
  return g.sqrt(g.max(g.sum(g.square(x), axis), 1e-8));
}

/** lambda / (|A_i| |B_i|) [r]; 1 / r is the scale. */
function factors({ g, p }: Pick<DeltaParts, "g" | "p">): Tensor {
  const norms = g.mul(lengths(g, p("delora_A"), 1), lengths(g, p("delora_B"), 0));
  return g.div(p("delora_lambda"), norms);
}

/** D = B diag(factors) A diag(w_norm) */
function delta(parts: DeltaParts): Tensor {
  const { g, p } = parts;
  return g.mul(g.matmul(g.mul(p("delora_B"), factors(parts)), p("delora_A")), p("delora_w_norm"));
}

function forward(a: Adapted<LinearSite>, x: Tensor, c: DeloraConfig): Tensor {
  const { g, p } = a;
  const scaled = g.mul(a.dropout(x, c.moduleDropout), p("delora_w_norm"));
  const low = g.mul(g.linear(scaled, p("delora_A")), factors(a)); // [..., r]
  return g.add(a.next(x), g.linear(g.mul(low, perRow(g, a.scale, low)), p("delora_B")));
}

const linear: SiteMethod<DeloraConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  forward,
  prepare,
  scale: (c, site) => 1 / rankOf(c, site),
  structure: (c) => `dropout ${c.moduleDropout}`,
};

/** A low-rank update whose norm is learnt apart. arXiv 2503.18225. Reference: peft/tuners/delora/layer.py */
export const delora: Method<DeloraConfig> = {
  name: "delora",
  config: DeloraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    bias: (c) => c.bias,
  },
};
