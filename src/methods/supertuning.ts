import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { SupertuningOptions, SupertuningValues } from "./config_types.js";
import { scattered, upright } from "./delta.js";
import { perRow } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type {
  Adapted,
  ConfigClass,
  Initial,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  Prepared,
  SiteMethod,
} from "./method.js";
import { dropout, saving, startsWithoutEffect, targetModules } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  sparsity: {
    kind: "number",
    min: 0,
    below: 1,
    byDefault: 0.99,
    means: "share of each weight's numbers that are not trained",
  },
  selectTop: {
    kind: "flag",
    byDefault: true,
    means: "train the numbers of a weight that are largest; off: those that are smallest",
  },
  r: {
    kind: "whole",
    min: 1,
    otherwise: "no LoRA",
    also: ["rank", "loraR"],
    means: "the rank of a LoRA beside them (Supra)",
  },
  loraAlpha: {
    kind: "number",
    otherwise: "2 r",
    also: ["alpha"],
    means: "scale of that LoRA: alpha / r",
  },
  loraDropout: {
    ...dropout,
    also: ["dropout"],
    means: "share of that LoRA's input that is dropped in training",
  },
  initWeights: startsWithoutEffect,
  savePrecomputedIndices: {
    kind: "flag",
    byDefault: true,
    means: "save which numbers are trained; off: choose them again from the base's weights",
  },
};

export type { SupertuningOptions };
export type SupertuningConfig = SupertuningValues;
/**
 * Config of Super-Tuning (arXiv 2607.09287). Reference: peft/tuners/supertuning/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, SupertuningConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new SupertuningConfig({ sparsity: 0.99, r: 8 }));
 * ```
 */
export const SupertuningConfig: ConfigClass<SupertuningValues, SupertuningOptions> = configClass(
  "SUPERTUNING",
  "SupertuningConfig",
  {
    options,
    implied: ({ r }) => (typeof r === "number" ? { loraAlpha: 2 * r } : {}),
    check: ({ r, loraAlpha }, fault) => {
      if (loraAlpha !== undefined && r === undefined)
        fault(
          words`${option("loraAlpha")} is ${loraAlpha} without ${option("r")}.`,
          "it scales the LoRA beside the trained numbers, which is there where a rank is given.",
          words`add ${option("r", 8)}, or leave ${option("loraAlpha")} out.`,
        );
    },
  },
);

/** Whole numbers up to here are exact in f32, in which an adapter's tensors are kept. */
const MOST = 2 ** 24;

function countAt(c: SupertuningConfig, { path, inDim, outDim }: LinearSite): number {
  const all = inDim * outDim;
  if (all > MOST)
    throw new PeftError("adapter-config", {
      what: `Super-Tuning on ${path}, whose weight is [${outDim}, ${inDim}].`,
      why: `a place among its ${all} numbers is kept in 24 bits here, which count to ${MOST}.`,
      fix: words`name narrower layers: ${option("targetModules", ["q_proj", "v_proj"])}.`,
    });
  const count = Math.trunc(all * (1 - c.sparsity));
  if (count > 0) return count;
  throw new PeftError("adapter-config", {
    what: words`${option("sparsity")} is ${c.sparsity} at ${path}.`,
    why: `of a weight [${outDim}, ${inDim}] no number would be trained.`,
    fix: words`${option("sparsity", 1 - 2 / all)}, or less.`,
  });
}

function parameters(c: SupertuningConfig, site: LinearSite): ParameterSpec[] {
  const { inDim, outDim } = site;
  const count = countAt(c, site);
  const start = (otherwise: Initial): Initial => (c.initWeights ? ZERO : otherwise);
  const own: ParameterSpec[] = [
    { key: "supertuning_values", shape: [count], initial: start({ kind: "normal", std: 1 }) },
    {
      key: "supertuning_indices",
      shape: [count],
      initial: { kind: "prepared" },
      frozen: c.savePrecomputedIndices ? "saved i32" : "derived",
    },
  ];
  if (c.r === undefined) return own;
  return [
    ...own,
    { key: "supertuning_lora_A.weight", shape: [c.r, inDim], initial: kaiming(inDim), free: [0] },
    { key: "supertuning_lora_B.weight", shape: [outDim, c.r], initial: start(kaiming(c.r)), free: [1] },
  ];
}

/** Flat places in W [out, in] of the numbers that are largest (or smallest) without signs, these first. */
function prepare(c: SupertuningConfig, site: LinearSite, weight: Float32Array): Prepared {
  const { inDim, outDim, transposed } = site;
  const count = countAt(c, site);
  const stored = (i: number): number => (transposed ? (i % inDim) * outDim + Math.floor(i / inDim) : i);
  const sign = c.selectTop ? -1 : 1;
  const cost = (i: number): number => sign * Math.abs(at(weight, stored(i)));
  const bound = at(weight.map((x) => sign * Math.abs(x)).sort(), count - 1);
  const [within, tied]: [number[], number[]] = [[], []];
  for (let i = 0; i < weight.length; i++) {
    if (cost(i) < bound) within.push(i);
    else if (cost(i) === bound && tied.length < count) tied.push(i);
  }
  const places = [...within.sort((i, j) => cost(i) - cost(j)), ...tied].slice(0, count);
  return { parameters: { supertuning_indices: Float32Array.from(places) } };
}

/** The trained numbers at their places, [out, in]. */
function sparse({ g, site, p }: Pick<Adapted<LinearSite>, "g" | "site" | "p">): Tensor {
  const places = g.unsqueeze(g.cast(p("supertuning_indices"), "i64"), 0);
  return scattered(g, p("supertuning_values"), places, [site.outDim, site.inDim]);
}

/** y + S x + s B A x, S sparse */
function forward(a: Adapted<LinearSite>, x: Tensor, c: SupertuningConfig): Tensor {
  const { g, p, gate, scale } = a;
  const change = g.linear(x, sparse(a));
  const y = g.add(a.next(x), g.mul(change, perRow(g, gate, change)));
  if (c.r === undefined) return y;
  const low = g.linear(a.dropout(x, c.loraDropout), p("supertuning_lora_A.weight"));
  const dense = g.linear(low, p("supertuning_lora_B.weight"));
  return g.add(y, g.mul(dense, perRow(g, scale, dense)));
}

function merge(m: Merging<LinearSite>, c: SupertuningConfig): { weight: Tensor } {
  const { g, site, p, scale } = m;
  const weight = g.add(m.weight, upright(g, site, sparse(m)));
  if (c.r === undefined) return { weight };
  const dense = g.matmul(p("supertuning_lora_B.weight"), p("supertuning_lora_A.weight"));
  return { weight: g.add(weight, g.mul(upright(g, site, dense), scale)) };
}

const linear: SiteMethod<SupertuningConfig, LinearSite> = {
  parameters,
  forward,
  merge,
  prepare,
  scale: ({ r, loraAlpha }) => (r === undefined || loraAlpha === undefined ? 1 : loraAlpha / r),
  structure: (c) => `${c.r !== undefined} dropout ${c.loraDropout}`,
};

/**
 * The numbers of each weight that are largest, with a LoRA beside them where a rank is given. arXiv
 * 2607.09287. Reference: peft/tuners/supertuning/layer.py
 */
export const supertuning: Method<SupertuningConfig> = {
  name: "supertuning",
  config: SupertuningConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
