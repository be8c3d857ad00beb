import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { checkDivides } from "./block_sizes.js";
import { OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { perRow } from "./gate.js";
import { readStart } from "./init_weights.js";
import { kaiming, ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { Adapted, AdapterConfig, Initial, Json, Method, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";

type Start = boolean | "gaussian" | "kaiming_uniform" | "xavier_uniform";

/** Options of C3A. */
export interface C3AOptions extends Omit<LayerOptions, "excludeModules"> {
  /** Size of the circulant blocks, a divisor of the layers' inputs and outputs. Default 256. */
  blockSize?: number | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "c3a_only" | undefined;
  /** Block sizes by layer name or pattern where they differ from blockSize. */
  blockSizePattern?: Readonly<Record<string, number>> | undefined;
  /** true: start without effect. Default "xavier_uniform", which false means as well. */
  initWeights?: Start | undefined;
}

const { exclude_modules: _, ...ownFields } = layerFields("C3A");
const fields: Readonly<Record<string, Json>> = {
  ...ownFields,
  block_size: 256,
  bias: "none",
  block_size_pattern: {},
  init_weights: "xavier_uniform",
};

/** Config of C3A (arXiv 2407.19342). Throws "adapter-config". Reference: peft/tuners/c3a/config.py */
export class C3AConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "C3A";
  readonly blockSize: number;
  readonly bias: "none" | "all" | "c3a_only";
  readonly blockSizePattern: Readonly<Record<string, number>>;
  readonly initWeights: Start;

  constructor(options: C3AOptions = {}) {
    const read = new OptionReader("C3AConfig", options, fields);
    super(read);
    this.blockSize = read.integer("blockSize", { min: 1 }) ?? 256;
    this.bias = read.oneOf("bias", ["none", "all", "c3a_only"], "none");
    this.blockSizePattern = read.patterns("blockSizePattern", "whole");
    const names = ["gaussian", "kaiming_uniform", "xavier_uniform"] as const;
    this.initWeights = readStart(read, names, "xavier_uniform");
    read.done();
  }
}

function initialOf({ initWeights: init }: C3AConfig, { inDim, outDim }: LinearSite): Initial {
  if (init === true) return ZERO;
  if (init === "gaussian") return { kind: "normal", std: 1 };
  if (init === "kaiming_uniform") return kaiming(inDim);
  return { kind: "uniform", bound: Math.sqrt(6 / (inDim + outDim)) };
}

/**
 * A kernel [out / b, in / b, b] as a matrix [out, in] of blocks: block[u, t] = kernel[(t + sign u) mod b].
 * The kernel over and over, in lines of s = b + 1 or 2 b - 1 numbers: line u starts at u s = sign u (mod b).
 */
function circulant(g: Graph, kernel: Tensor, sign: 1 | -1): Tensor {
  const [rows, columns, b] = kernel.shape as readonly [number, number, number];
  const s = sign === 1 ? b + 1 : 2 * b - 1;
  const repeated = g.expand(g.unsqueeze(kernel, 2), [rows, columns, s, b]);
  const blocks = g.slice(g.reshape(repeated, [rows, columns, b, s]), 3, 0, b); // [rows, columns, u, t]
  return g.reshape(g.transpose(blocks, [0, 2, 1, 3]), [rows * b, columns * b]);
}

/** D; 1 / in is the scale. */
function delta({ g, p }: DeltaParts): Tensor {
  return circulant(g, p("c3a_kernel"), -1);
}

/**
 * y + s D x. Python computes the gradient by x with the blocks turned the other way, as if D had been
 * kernel[(t + u) mod b]: so that training is the same, the gradient passes through a term that is 0.
 */
function forward(a: Adapted<LinearSite>, x: Tensor, _: C3AConfig): Tensor {
  const { g, p } = a;
  const change = g.linear(g.detach(x), circulant(g, p("c3a_kernel"), -1));
  const turned = g.linear(x, g.detach(circulant(g, p("c3a_kernel"), 1)));
  const both = g.add(change, g.sub(turned, g.detach(turned)));
  return g.add(a.next(x), g.mul(both, perRow(g, a.scale, both)));
}

const linear: SiteMethod<C3AConfig, LinearSite> = {
  parameters: (c, site) => {
    const b = byPattern(c.blockSizePattern, site.path, "dotted") ?? c.blockSize;
    checkDivides(site, { option: "blockSize", count: b });
    const shape = [site.outDim / b, site.inDim / b, b];
    return [{ key: "c3a_kernel", shape, initial: initialOf(c, site) }];
  },
  ...addsToWeight(delta),
  forward,
  scale: (_, site) => 1 / site.inDim,
  structure: () => "",
};

/** Circulant blocks. arXiv 2407.19342. Reference: peft/tuners/c3a/layer.py, utils.py */
export const c3a: Method<C3AConfig> = {
  peftType: "C3A",
  name: "c3a",
  fields,
  floats: [],
  create: (options) => new C3AConfig(options as C3AOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    bias: (c) => c.bias,
  },
};
