import { dimAt } from "../graph/dims.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { checkDivides } from "./block_sizes.js";
import { configClass } from "./config.js";
import type { GraloraOptions, GraloraValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { withChange } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Method, MethodTable, ParameterSpec, SiteMethod } from "./method.js";
import {
  bias,
  blocks,
  dropout,
  fanInFanOut,
  rank,
  saving,
  startsWithoutEffect,
  targetModules,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  ...blocks,
  r: rank(32, "the rank, a multiple of graloraK"),
  hybridR: { kind: "whole", min: 0, byDefault: 0, means: "rank of a plain LoRA beside it; 0: none" },
  alpha: {
    kind: "number",
    byDefault: 64,
    also: ["loraAlpha"],
    means: "scale of the update: alpha / (r + hybridR)",
  },
  graloraDropout: dropout,
  graloraK: {
    kind: "whole",
    min: 1,
    byDefault: 2,
    means: "into how many parts the layer's input and output are cut",
  },
  fanInFanOut,
  bias: bias("gralora_only"),
  initWeights: startsWithoutEffect,
};

export type { GraloraOptions };
export type GraloraConfig = GraloraValues;
/**
 * Config of GraLoRA (arXiv 2505.20355). Reference: peft/tuners/gralora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, GraloraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new GraloraConfig({ r: 32 }));
 * ```
 */
export const GraloraConfig: ConfigClass<GraloraValues, GraloraOptions> = configClass(
  "GRALORA",
  "GraloraConfig",
  {
    options,
    check: ({ r, graloraK }, fault) => {
      if (r % graloraK !== 0)
        fault(
          words`${option("r")} is ${r} with ${option("graloraK", graloraK)}.`,
          "every part of the input gives each part of the output an equal share of the rank.",
          words`${option("r", Math.ceil(r / graloraK) * graloraK)}.`,
        );
    },
  },
);

function parameters(c: GraloraConfig, site: LinearSite): ParameterSpec[] {
  const { r, hybridR, graloraK: k } = c;
  const { inDim, outDim } = site;
  checkDivides(site, { name: "graloraK", count: k });
  const b = (rank: number): ParameterSpec["initial"] => (c.initWeights ? ZERO : kaiming(rank));
  const own: ParameterSpec[] = [
    { key: "gralora_A", shape: [k, inDim / k, r], initial: kaiming(inDim / k) },
    { key: "gralora_B", shape: [k, r, outDim / k], initial: b(r) },
  ];
  if (hybridR === 0) return own;
  return [
    ...own,
    { key: "gralora_A_general.weight", shape: [hybridR, inDim], initial: kaiming(inDim), free: [0] },
    { key: "gralora_B_general.weight", shape: [outDim, hybridR], initial: b(hybridR), free: [1] },
  ];
}

/**
 * Blocks of D from part i of the input to part j of the output, by s = r / k of the rank:
 * D[j, i] = (A[i, :, s of j] B[j, s of i, :])^T.
 */
function delta({ g, p, site }: DeltaParts, c: GraloraConfig): Tensor {
  const { graloraK: k, r } = c;
  const [i, o, s] = [site.inDim / k, site.outDim / k, r / k];
  const a = g.transpose(g.reshape(p("gralora_A"), [k, i, k, s]), [2, 0, 1, 3]); // [to, from, in / k, s]
  const b = g.reshape(p("gralora_B"), [k, k, s, o]); // [to, from, s, out / k]
  const blocks = g.matmul(b, a, { transA: true, transB: true }); // [to, from, out / k, in / k]
  const d = g.reshape(g.transpose(blocks, [0, 2, 1, 3]), [site.outDim, site.inDim]);
  if (c.hybridR === 0) return d;
  return g.add(d, g.matmul(p("gralora_B_general.weight"), p("gralora_A_general.weight")));
}

/** The same without a matrix of the weight's size. x [..., in] -> [..., out] */
function change({ g, p, site }: Adapted<LinearSite>, x: Tensor, c: GraloraConfig): Tensor {
  const { graloraK: k, r } = c;
  const rows = g.rows(x);
  const n = dimAt(rows.shape, 0);
  const parts = g.transpose(g.reshape(rows, [n, k, site.inDim / k]), [1, 0, 2]); // [from, rows, in / k]
  const low = g.reshape(g.matmul(parts, p("gralora_A")), [k, n, k, r / k]); // [from, rows, to, s]
  const mixed = g.reshape(g.transpose(low, [2, 1, 0, 3]), [k, n, r]); // [to, rows, r]
  const high = g.transpose(g.matmul(mixed, p("gralora_B")), [1, 0, 2]); // [rows, to, out / k]
  const y = g.reshape(high, [...x.shape.slice(0, -1), site.outDim]);
  if (c.hybridR === 0) return y;
  return g.add(y, g.linear(g.linear(x, p("gralora_A_general.weight")), p("gralora_B_general.weight")));
}

function forward(a: Adapted<LinearSite>, x: Tensor, c: GraloraConfig): Tensor {
  return withChange(a, x, change(a, a.dropout(x, c.graloraDropout), c));
}

const linear: SiteMethod<GraloraConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  forward,
  scale: (c) => c.alpha / (c.r + c.hybridR),
  structure: (c) => `dropout ${c.graloraDropout}`,
};

/**
 * Low-rank updates of k x k blocks that share their factors. arXiv 2505.20355.
 * Where there is a plain LoRA beside it, both see the same dropped input; Python drops twice.
 * Reference: peft/tuners/gralora/layer.py
 */
export const gralora: Method<GraloraConfig> = {
  name: "gralora",
  config: GraloraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    bias: (c) => c.bias,
  },
};
