import { PeftError } from "../errors.js";
import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { checkDivides } from "./block_sizes.js";
import { configClass } from "./config.js";
import type { MissOptions, MissValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { perRow } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Method, MethodTable, ParameterSpec, SiteMethod } from "./method.js";
import { bias, blocks, dropout, rank, saving, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(64, "every r-th input shares its weights; with initWeights bat, the size of blocks"),
  missDropout: { ...dropout, means: `${dropout.means}; not with initWeights bat` },
  miniR: {
    kind: "whole",
    min: 1,
    byDefault: 1,
    means: "with initWeights mini: every miniR-th output shares its weights",
  },
  initWeights: {
    kind: "flag",
    choices: ["bat", "mini"],
    byDefault: true,
    means: "true: start without effect; false: at random; bat and mini are other forms of the update",
  },
  bias: bias("MiSS_only"),
};

export type { MissOptions };
export type MissConfig = MissValues;
/**
 * Config of MiSS (arXiv 2409.15371). Reference: peft/tuners/miss/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, MissConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new MissConfig({ r: 64 }));
 * ```
 */
export const MissConfig: ConfigClass<MissValues, MissOptions> = configClass("MISS", "MissConfig", {
  options,
});

function parameters({ r, miniR, initWeights }: MissConfig, site: LinearSite): ParameterSpec[] {
  const { path, inDim, outDim } = site;
  if (r > inDim) {
    throw new PeftError("adapter-config", {
      what: words`${option("r")} is ${r} at ${path}.`,
      why: `the layer has ${inDim} inputs, and every r-th of them shares its weights.`,
      fix: words`${option("r", inDim)}, or leave ${path} out of ${option("targetModules")}.`,
    });
  }
  const block = (shape: number[], initial = ZERO): ParameterSpec[] => [{ key: "miss_block", shape, initial }];
  if (initWeights === "bat") {
    checkDivides(site, { name: "r", count: r });
    return block([outDim / r, r, r]);
  }
  if (initWeights === "mini") {
    checkDivides(site, { name: "miniR", count: miniR, sizes: [outDim] });
    return block([r, miniR]);
  }
  return block([r, outDim], initWeights ? ZERO : kaiming(outDim));
}

/** x along its last axis over and over. [..., n] -> [..., times n] */
function repeated(g: Graph, x: Tensor, times: number): Tensor {
  const [before, n] = [x.shape.slice(0, -1), lengthAt(x.shape, -1)];
  return g.reshape(g.expand(g.unsqueeze(x, -2), [...before, times, n]), [...before, times * n]);
}

/** The block [r, out], whose rows repeat along the inputs. */
function shards({ g, site, p }: Pick<DeltaParts, "g" | "site" | "p">, c: MissConfig): Tensor {
  const block = p("miss_block");
  return c.initWeights === "mini" ? repeated(g, block, site.outDim / c.miniR) : block;
}

/**
 * D[:, i] = block[i mod r]; with "bat", for W and D in blocks [r, r] at row o and column i,
 * D[o, i] = W[o, i] block[o] + block[o].
 */
function delta(parts: DeltaParts, c: MissConfig): Tensor {
  const { g, site, p } = parts;
  const [{ inDim, outDim }, { r }] = [site, c];
  if (c.initWeights === "bat") {
    const block = g.unsqueeze(p("miss_block"), 1); // [out / r, 1, r, r]
    const w = g.transpose(g.reshape(parts.weight(), [outDim / r, r, inDim / r, r]), [0, 2, 1, 3]);
    const d = g.add(g.matmul(w, block), block); // [out / r, in / r, r, r]
    return g.reshape(g.transpose(d, [0, 2, 1, 3]), [outDim, inDim]);
  }
  const upright = g.transpose(shards(parts, c), [1, 0]); // [out, r]
  return g.slice(repeated(g, upright, Math.ceil(inDim / r)), 1, 0, inDim);
}

const added = addsToWeight(delta);

/** Every r-th input is added up: no matrix of the weight's size is needed. */
function forward(a: Adapted<LinearSite>, x: Tensor, c: MissConfig): Tensor {
  if (c.initWeights === "bat") return added.forward(a, x, c);
  const { g, site } = a;
  const parts = Math.ceil(site.inDim / c.r);
  const padded = g.pad(a.dropout(x, c.missDropout), x.shape.length - 1, 0, parts * c.r - site.inDim);
  const sums = g.sum(g.reshape(padded, [...x.shape.slice(0, -1), parts, c.r]), -2); // [..., r]
  const y = g.linear(g.mul(sums, perRow(g, a.scale, sums)), shards(a, c), true);
  return g.add(a.next(x), y);
}

const linear: SiteMethod<MissConfig, LinearSite> = {
  parameters,
  ...added,
  forward,
  structure: (c) => `${c.initWeights} dropout ${c.missDropout}`,
};

/** Weights that inputs share. arXiv 2409.15371. Reference: peft/tuners/miss/layer.py */
export const miss: Method<MissConfig> = {
  name: "miss",
  config: MissConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    bias: (c) => c.bias,
  },
};
