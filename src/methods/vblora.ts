import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { VBLoRAOptions, VBLoRAValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import type { Adapted, ConfigClass, Merging, Method, MethodTable, ParameterSpec } from "./method.js";
import { bias, blocks, dropout, fanInFanOut, rank, saving, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(4, "the rank"),
  numVectors: {
    kind: "whole",
    min: 1,
    byDefault: 256,
    means: "vectors in the bank that all layers share",
  },
  vectorLength: {
    kind: "whole",
    min: 1,
    byDefault: 256,
    means: "length of the bank's vectors; it divides the widths of all adapted layers",
  },
  topk: {
    kind: "whole",
    min: 1,
    byDefault: 2,
    means: "how many vectors each piece of a matrix is mixed of",
  },
  vbloraDropout: dropout,
  bias: bias("vblora_only"),
  fanInFanOut,
  initVectorBankBound: {
    kind: "number",
    min: 0,
    byDefault: 0.02,
    means: "the bank starts uniform within this bound",
  },
  initLogitsStd: {
    kind: "number",
    min: 0,
    byDefault: 0.1,
    means: "standard deviation of the logits at the start",
  },
};

export type { VBLoRAOptions };
export type VBLoRAConfig = VBLoRAValues;
/**
 * Config of VB-LoRA (arXiv 2405.15179). Reference: peft/tuners/vblora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, VBLoRAConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new VBLoRAConfig({ r: 4, numVectors: 256, vectorLength: 64 }));
 * ```
 */
export const VBLoRAConfig: ConfigClass<VBLoRAValues, VBLoRAOptions> = configClass("VBLORA", "VBLoRAConfig", {
  options,
  unbuilt: { save_only_topk_weights: false },
  check: ({ topk, numVectors }, fault) => {
    if (topk > numVectors)
      fault(
        words`${option("topk")} is ${topk} with ${option("numVectors", numVectors)}.`,
        "the bank has no more vectors to mix.",
        words`${option("topk", numVectors)}.`,
      );
  },
});

function shared(c: VBLoRAConfig): ParameterSpec[] {
  const initial = { kind: "uniform", bound: c.initVectorBankBound } as const;
  return [{ key: "vblora_vector_bank", shape: [c.numVectors, c.vectorLength], initial }];
}

function parameters(c: VBLoRAConfig, { path, inDim, outDim }: LinearSite): ParameterSpec[] {
  const pieces = [inDim / c.vectorLength, outDim / c.vectorLength] as const;
  if (!pieces.every(Number.isInteger))
    throw new PeftError("adapter-config", {
      what: words`${option("vectorLength")} is ${c.vectorLength} at ${path}.`,
      why: `it divides a layer's widths, and these are ${inDim} and ${outDim}.`,
      fix: "give a length that divides the widths of all targets.",
    });
  const initial = { kind: "normal", std: c.initLogitsStd } as const;
  return [
    { key: "vblora_logits_A", shape: [c.r, pieces[0], c.numVectors], initial },
    { key: "vblora_logits_B", shape: [pieces[1], c.r, c.numVectors], initial },
  ];
}

type Parts = Pick<DeltaParts, "g" | "site" | "p" | "shared">;

/**
 * Logits [.., vectors] -> mixtures of the `topk` vectors with the largest, [.., length]. Of equal ones, all
 * count.
 */
function mixed({ g, shared }: Parts, logits: Tensor, { topk }: VBLoRAConfig): Tensor {
  let rest = g.detach(logits);
  for (let k = 1; k < topk; k++) rest = g.where(g.less(rest, g.amax(rest, -1, true)), rest, LOWEST);
  const isTop = g.not(g.less(g.detach(logits), g.amax(rest, -1, true)));
  return g.matmul(g.softmax(g.where(isTop, logits, LOWEST)), shared("vblora_vector_bank"));
}

/** Softmax makes zero of it. */
const LOWEST = -1e30;

/** A [r, in], B [out, r] */
function factors(parts: Parts, c: VBLoRAConfig): { a: Tensor; b: Tensor } {
  const { g, site, p } = parts;
  const a = g.reshape(mixed(parts, p("vblora_logits_A"), c), [c.r, site.inDim]);
  const pieces = g.transpose(mixed(parts, p("vblora_logits_B"), c), [0, 2, 1]); // [pieces, length, r]
  return { a, b: g.reshape(pieces, [site.outDim, c.r]) };
}

/** y + B A x */
function forward(a: Adapted<LinearSite>, x: Tensor, c: VBLoRAConfig): Tensor {
  const { g } = a;
  const low = factors(a, c);
  const change = g.linear(g.linear(a.dropout(x, c.vbloraDropout), low.a), low.b);
  return withChange(a, x, change);
}

function merge(m: Merging<LinearSite>, c: VBLoRAConfig): { weight: Tensor } {
  const { a, b } = factors(m, c);
  return withDelta(m, m.g.matmul(b, a));
}

/**
 * Low-rank matrices mixed of vectors that all layers share. arXiv 2405.15179. Reference:
 * peft/tuners/vblora/layer.py
 */
export const vblora: Method<VBLoRAConfig> = {
  name: "vblora",
  config: VBLoRAConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear: { parameters, forward, merge },
    shared,
  },
};
