import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { PolyOptions, PolyValues } from "./config_types.js";
import { withChange } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type { Adapted, ConfigClass, Method, MethodTable, ParameterSpec, SiteMethod } from "./method.js";
import { rank, saving, startsWithoutEffect, targets } from "./shared_options.js";
import { taskIds } from "./task_ids.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  r: rank(8, "the rank of each skill"),
  nTasks: { kind: "whole", min: 1, byDefault: 1, means: "how many tasks there are" },
  nSkills: {
    kind: "whole",
    min: 1,
    byDefault: 4,
    means: "how many skills, each a LoRA, the tasks are mixed of",
  },
  nSplits: {
    kind: "whole",
    min: 1,
    byDefault: 1,
    means: "in how many parts a layer's inputs and outputs are split, each with a mixture of its own",
  },
  polyType: { kind: "text", choices: ["poly"], byDefault: "poly", means: "how tasks are mixed of skills" },
  initWeights: startsWithoutEffect,
};

export type { PolyOptions };
export type PolyConfig = PolyValues;
/**
 * Config of Poly (arXiv 2202.13914), and with `nSplits` of multi-head routing (arXiv 2211.03831). Reference:
 * peft/tuners/poly/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, PolyConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new PolyConfig({ nTasks: 3, nSkills: 2 }));
 * ```
 */
export const PolyConfig: ConfigClass<PolyValues, PolyOptions> = configClass("POLY", "PolyConfig", {
  options,
});

const EPS = 1e-12;

function parameters(c: PolyConfig, { path, inDim, outDim }: LinearSite): ParameterSpec[] {
  const { r, nTasks, nSkills, nSplits } = c;
  if (inDim % nSplits !== 0 || outDim % nSplits !== 0) throw unevenSplits(c, path, [outDim, inDim]);
  return [
    { key: "poly_lora_A", shape: [nSplits, nSkills, inDim / nSplits, r], initial: kaiming(inDim / nSplits) },
    {
      key: "poly_lora_B",
      shape: [nSplits, nSkills, r, outDim / nSplits],
      initial: c.initWeights ? ZERO : kaiming(r),
    },
    {
      key: "poly_router.module_logits",
      shape: [nTasks, nSplits * nSkills],
      initial: { kind: "uniform", bound: 1e-3 },
    },
  ];
}

/** m = sigmoid(logits of the row's task) / (its sum over skills + 1e-12), [batch, splits, skills]. */
function mixture({ g, p, input, drawRows }: Adapted<LinearSite>, { nSplits, nSkills }: PolyConfig): Tensor {
  const shape = ["batch", nSplits, nSkills];
  const logits = g.reshape(g.gather(p("poly_router.module_logits"), input("taskIds")), shape);
  // in training a relaxed Bernoulli of temperature 1: its noise is logistic
  const u = drawRows("skills", shape);
  const noisy =
    u === undefined ? logits : g.add(logits, g.sub(g.log(clamped(g, u)), g.log(g.sub(1, clamped(g, u)))));
  const m = g.sigmoid(noisy);
  return g.div(m, g.add(g.sum(m, -1, true), EPS));
}

/** Away from 0 and 1, whose logarithms have no end. */
function clamped(g: Adapted<LinearSite>["g"], u: Tensor): Tensor {
  return g.max(g.min(u, 1 - 2 ** -24), 2 ** -24);
}

/** y + x A_b B_b / r; A_b and B_b are the skills of row b's task, mixed, with the splits side by side. */
function forward(a: Adapted<LinearSite>, x: Tensor, c: PolyConfig): Tensor {
  const { g, site, p } = a;
  const { r, nSplits, nSkills } = c;
  const m = g.transpose(mixture(a, c), [1, 0, 2]); // [splits, batch, skills]
  const mixed = (key: string, rows: number, columns: number): Tensor => {
    const skills = g.reshape(p(key), [nSplits, nSkills, rows * columns]);
    return g.reshape(g.matmul(m, skills), [nSplits, "batch", rows, columns]);
  };
  const A = g.reshape(g.transpose(mixed("poly_lora_A", site.inDim / nSplits, r), [1, 0, 2, 3]), [
    "batch",
    site.inDim,
    r,
  ]);
  const B = g.reshape(g.transpose(mixed("poly_lora_B", r, site.outDim / nSplits), [1, 2, 0, 3]), [
    "batch",
    r,
    site.outDim,
  ]);
  const isPooled = x.shape.length === 2;
  const change = g.matmul(g.matmul(isPooled ? g.unsqueeze(x, 1) : x, A), B);
  return withChange(a, x, isPooled ? g.squeeze(change, 1) : change);
}

const linear: SiteMethod<PolyConfig, LinearSite> = {
  parameters,
  forward,
  scale: (c) => 1 / c.r,
  structure: () => "",
};

/**
 * Skills, each a LoRA, of which every task is a mixture that is learnt with them. A batch says the task of
 * each row: `columns: { taskIds }`. Reference: peft/tuners/poly/layer.py, router.py
 */
export const poly: Method<PolyConfig> = {
  name: "poly",
  config: PolyConfig,
  inputs: (c) => ({ taskIds: taskIds(c.nTasks) }),
  wholeRows: () => true,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};

function unevenSplits({ nSplits }: PolyConfig, path: string, shape: readonly number[]): PeftError {
  return new PeftError("adapter-config", {
    what: words`${option("nSplits")} is ${nSplits}, and ${path} is [${shape.join(", ")}].`,
    why: "a layer's inputs and outputs are split into as many equal parts.",
    fix: words`a number that divides both, such as ${option("nSplits", 1)}.`,
  });
}
