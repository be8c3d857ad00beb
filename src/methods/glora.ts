import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { GloraOptions, GloraValues } from "./config_types.js";
import { upright } from "./delta.js";
import { withChange } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type {
  Adapted,
  ConfigClass,
  Initial,
  Merged,
  Merging,
  Method,
  MethodRow,
  MethodTable,
  ParameterSpec,
  SiteMethod,
} from "./method.js";
import { bias, rank, saving, startsWithoutEffect, targetModules } from "./shared_options.js";

const form = (python: string, byDefault: string, choices: readonly string[], means: string): MethodRow => ({
  kind: "text",
  python,
  byDefault,
  choices,
  means,
});

const options: MethodTable = {
  ...saving,
  targetModules,
  r: rank(8, "the rank of matrices whose form is lora"),
  configAB: form(
    "config_A_B",
    "lora",
    ["lora", "vector", "constant", "none"],
    "form of A and B, which scale and shift the weight",
  ),
  configC: form(
    "config_C",
    "lora",
    ["lora", "vector", "none"],
    "form of C, which makes a change of the bias of the weight",
  ),
  configDE: form(
    "config_D_E",
    "constant",
    ["constant", "vector", "none"],
    "form of D and E, which scale and shift the bias",
  ),
  bias: bias("glora_only"),
  initWeights: startsWithoutEffect,
};

export type { GloraOptions };
export type GloraConfig = GloraValues;
/**
 * Config of GLoRA (arXiv 2306.07967). Reference: peft/tuners/glora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, GloraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new GloraConfig({ configAB: "vector" }));
 * ```
 */
export const GloraConfig: ConfigClass<GloraValues, GloraOptions> = configClass("GLORA", "GloraConfig", {
  options,
});

type Letter = "A" | "B" | "C" | "D" | "E";

function formOf(c: GloraConfig, letter: Letter, { bias }: LinearSite): string {
  if (letter === "A" || letter === "B") return c.configAB;
  if (bias === undefined) return "none";
  return letter === "C" ? c.configC : c.configDE;
}

/** Rows and columns of what a letter stands for; D and E are vectors. */
function sizeOf(letter: Letter, { inDim, outDim }: LinearSite): readonly [number, number] {
  if (letter === "A" || letter === "B") return [outDim, inDim];
  return letter === "C" ? [inDim, 1] : [outDim, 1];
}

function specsOf(c: GloraConfig, letter: Letter, site: LinearSite): ParameterSpec[] {
  const [rows, columns] = sizeOf(letter, site);
  const key = `glora_${letter}`;
  const start = (otherwise: Initial): Initial => (c.initWeights ? ZERO : otherwise);
  switch (formOf(c, letter, site)) {
    case "lora":
      return [
        { key: `${key}.Xd`, shape: [rows, c.r], initial: start(kaiming(c.r)), free: [1] },
        { key: `${key}.Xu`, shape: [c.r, columns], initial: kaiming(columns), free: [0] },
      ];
    case "vector":
      return letter === "D" || letter === "E"
        ? [{ key: `${key}.X`, shape: [rows], initial: start(kaiming(rows)) }]
        : [{ key: `${key}.X`, shape: [rows, 1], initial: start(kaiming(1)) }];
    case "constant":
      return [{ key: `${key}.X`, shape: [1], initial: start({ kind: "normal", std: 0.02 }) }];
    default:
      return [
        {
          key: `${key}.zeros`,
          shape: letter === "D" || letter === "E" ? [rows] : [rows, columns],
          initial: ZERO,
          frozen: "saved",
        },
      ];
  }
}

const letters: readonly Letter[] = ["A", "B", "C", "D", "E"];

type Parts = Pick<Adapted<LinearSite>, "g" | "site" | "p"> & {
  /** [out, in] */
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
};

/** What the weight [out, in] and the bias [out] change by: W o A + B, and b o D + E + W C. */
function changes({ g, site, p, weight, bias }: Parts, c: GloraConfig): { weight: Tensor; bias?: Tensor } {
  const of = (letter: Letter): Tensor => {
    const key = `glora_${letter}`;
    const way = formOf(c, letter, site);
    if (way === "none") return g.scalar(0);
    return way === "lora" ? g.matmul(p(`${key}.Xd`), p(`${key}.Xu`)) : p(`${key}.X`);
  };
  const changed = g.add(g.mul(weight, of("A")), of("B"));
  if (bias === undefined) return { weight: changed };
  const own = g.add(g.mul(bias, of("D")), of("E"));
  if (c.configC === "none") return { weight: changed, bias: own };
  return { weight: changed, bias: g.add(own, g.reshape(g.matmul(weight, of("C")), [site.outDim])) };
}

function forward(a: Adapted<LinearSite>, x: Tensor, c: GloraConfig): Tensor {
  const { g, site } = a;
  const weight = upright(g, site, a.weight());
  const change = changes({ ...a, weight, bias: a.bias() }, c);
  const product = g.linear(x, change.weight);
  const y = change.bias === undefined ? product : g.add(product, change.bias);
  return withChange(a, x, y);
}

function merge(m: Merging<LinearSite>, c: GloraConfig): Merged {
  const { g, site, scale, weight, bias } = m;
  const change = changes({ ...m, weight: upright(g, site, weight) }, c);
  const merged = g.add(weight, g.mul(upright(g, site, change.weight), scale));
  if (bias === undefined || change.bias === undefined) return { weight: merged };
  return { weight: merged, bias: g.add(bias, g.mul(change.bias, scale)) };
}

const linear: SiteMethod<GloraConfig, LinearSite> = {
  parameters: (c, site) => letters.flatMap((letter) => specsOf(c, letter, site)),
  forward,
  merge,
  structure: (c) => `${c.configAB} ${c.configC} ${c.configDE}`,
};

/**
 * Scales and shifts of the weight and the bias: W + W o A + B, b + b o D + E + W C. arXiv 2306.07967.
 * Reference: peft/tuners/glora/layer.py
 */
export const glora: Method<GloraConfig> = {
  name: "glora",
  config: GloraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
  },
};
