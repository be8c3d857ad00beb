import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { HiraOptions, HiraValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { kaiming, ZERO } from "./initial.js";
import type { ConfigClass, Initial, Method, MethodTable, SiteMethod } from "./method.js";
import { blocks, dropout, fanInFanOut, rank, rankPattern, saving, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(32, "the rank: A is [r, in], B is [out, r]"),
  hiraDropout: dropout,
  fanInFanOut,
  initWeights: {
    kind: "flag",
    choices: ["gaussian"],
    byDefault: true,
    means: "true: start without effect; gaussian: the same with a normal A; false: at random",
  },
  rankPattern: {
    ...rankPattern,
    means: "refused: Python gives every layer the rank r all the same",
    fileOnly: true,
  },
};

export type { HiraOptions };
export type HiraConfig = HiraValues;
/**
 * Config of HiRA (openreview TwJrTz9cRS). Reference: peft/tuners/hira/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, HiraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new HiraConfig({ r: 32 }));
 * ```
 */
export const HiraConfig: ConfigClass<HiraValues, HiraOptions> = configClass("HIRA", "HiraConfig", {
  options,
  check: ({ rankPattern: ranks }, fault) => {
    if (Object.keys(ranks).length > 0)
      fault(
        words`${option("rankPattern")} is ${JSON.stringify(ranks)}.`,
        "Python's HiRA reads it and gives every layer the rank r, so that it would be without effect.",
        "rankPattern: {}, or one adapter for each rank.",
      );
  },
});

/** D = W o (B A) */
function delta({ g, p, weight }: DeltaParts): Tensor {
  return g.mul(weight(), g.matmul(p("hira_B"), p("hira_A")));
}

const added = addsToWeight<HiraConfig>(delta);

const linear: SiteMethod<HiraConfig, LinearSite> = {
  parameters: (c, { inDim, outDim }) => {
    const { r, initWeights: init } = c;
    const normal = (std: number): Initial => ({ kind: "normal", std });
    const a = init === true ? kaiming(inDim) : normal(init === false ? 1 : 1 / r);
    return [
      { key: "hira_A", shape: [r, inDim], initial: a, free: [0] },
      { key: "hira_B", shape: [outDim, r], initial: init === false ? normal(1) : ZERO, free: [1] },
    ];
  },
  ...added,
  // The base sees the whole input.
  forward: (a, x, c) => added.forward({ ...a, next: () => a.next(x) }, a.dropout(x, c.hiraDropout), c),
  structure: (c) => `dropout ${c.hiraDropout}`,
};

/**
 * The base's weight times a low-rank matrix, element by element. openreview TwJrTz9cRS.
 * Python adapts embeddings as well. Reference: peft/tuners/hira/layer.py
 */
export const hira: Method<HiraConfig> = {
  name: "hira",
  config: HiraConfig,
  learningRate: { value: 4.5e-3, from: "PEFT's comparison of methods" },
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
