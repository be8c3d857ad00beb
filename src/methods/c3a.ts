import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { checkDivides } from "./block_sizes.js";
import { configClass } from "./config.js";
import type { C3AOptions, C3AValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { withChange } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Initial, Method, MethodTable, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";
import { bias, blocks, saving, targetModules } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  ...blocks,
  blockSize: {
    kind: "whole",
    min: 1,
    byDefault: 256,
    means: "size of the circulant blocks, a divisor of the layers' inputs and outputs",
  },
  bias: bias("c3a_only"),
  blockSizePattern: {
    kind: "wholesByName",
    byDefault: {},
    means: "block sizes by layer name or pattern where they differ from blockSize",
  },
  initWeights: {
    kind: "flag",
    choices: ["gaussian", "kaiming_uniform", "xavier_uniform"],
    byDefault: "xavier_uniform",
    means: "true: start without effect; false: the same as xavier_uniform",
  },
};

export type { C3AOptions };
export type C3AConfig = C3AValues;
/**
 * Config of C3A (arXiv 2407.19342). Reference: peft/tuners/c3a/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, C3AConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new C3AConfig({ blockSize: 64 }));
 * ```
 */
export const C3AConfig: ConfigClass<C3AValues, C3AOptions> = configClass("C3A", "C3AConfig", {
  options,
});

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
  const [rows, columns, b] = [
    lengthAt(kernel.shape, 0),
    lengthAt(kernel.shape, 1),
    lengthAt(kernel.shape, 2),
  ];
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
  return withChange(a, x, both);
}

const linear: SiteMethod<C3AConfig, LinearSite> = {
  parameters: (c, site) => {
    const b = byPattern(c, "blockSizePattern", site.path, "dotted") ?? c.blockSize;
    checkDivides(site, { name: "blockSize", count: b });
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
  name: "c3a",
  config: C3AConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    bias: (c) => c.bias,
  },
};
