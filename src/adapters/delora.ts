import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { perRow } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { Adapted, AdapterConfig, Json, Method, ParameterSpec, Prepared, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";

/** Options of DeLoRA. */
export interface DeloraOptions extends LayerOptions {
  /** The rank: A is [r, in], B is [out, r]. Default 8. */
  r?: number | undefined;
  /** Where the bound of the update's norm starts. Default 15. */
  deloraLambda?: number | undefined;
  /** Rate of dropout on the adapter's input in training. Default 0. */
  moduleDropout?: number | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "delora_only" | undefined;
  /** Start without effect (default), or at random. */
  initWeights?: boolean | undefined;
  /** Ranks by layer name or pattern where they differ from r. */
  rankPattern?: Readonly<Record<string, number>> | undefined;
  /** Bounds by layer name or pattern where they differ from deloraLambda. */
  lambdaPattern?: Readonly<Record<string, number>> | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("DELORA"),
  r: 8,
  delora_lambda: 15,
  module_dropout: 0,
  bias: "none",
  init_weights: true,
  rank_pattern: {},
  lambda_pattern: {},
};

/** Config of DeLoRA (arXiv 2503.18225). Throws "adapter-config". Reference: peft/tuners/delora/config.py */
export class DeloraConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "DELORA";
  readonly r: number;
  readonly deloraLambda: number;
  readonly moduleDropout: number;
  readonly bias: "none" | "all" | "delora_only";
  readonly initWeights: boolean;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly lambdaPattern: Readonly<Record<string, number>>;

  constructor(options: DeloraOptions = {}) {
    const read = new OptionReader("DeloraConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 8;
    this.deloraLambda = read.number("deloraLambda") ?? 15;
    this.moduleDropout = read.rate("moduleDropout");
    this.bias = read.oneOf("bias", ["none", "all", "delora_only"], "none");
    this.initWeights = read.flag("initWeights", true);
    this.rankPattern = read.patterns("rankPattern", "whole");
    this.lambdaPattern = read.patterns("lambdaPattern", "any");
    read.done();
  }
}

const rankOf = (c: DeloraConfig, { path }: LinearSite): number => byPattern(c.rankPattern, path) ?? c.r;

function parameters(c: DeloraConfig, site: LinearSite): ParameterSpec[] {
  const { path, inDim, outDim } = site;
  const r = rankOf(c, site);
  const bound = byPattern(c.lambdaPattern, path) ?? c.deloraLambda;
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
    for (let o = 0; o < outDim; o++) sum += weight[i * perIn + o * perOut]! ** 2;
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
  peftType: "DELORA",
  name: "delora",
  fields,
  floats: ["module_dropout"],
  create: (options) => new DeloraConfig(options as DeloraOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    bias: (c) => c.bias,
  },
};
