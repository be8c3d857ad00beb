import { PeftError } from "../errors.js";
import { dimAt, lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { ExpertSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { withFields } from "./config.js";
import { kaiming, ZERO } from "./initial.js";
import type { LoraConfig } from "./lora_config.js";
import { rankOf, scaleOf } from "./lora_rank.js";
import type { ExpertMethod, ExpertPlace, Initial, LayerLists, ParameterSpec } from "./method.js";

/** Throws "adapter-config" for what LoRA has not where a parameter is its target. */
export function refuseBeside(c: LoraConfig, parameter: string): void {
  const { initLoraWeights: init } = c;
  const wrong = (
    [
      ["loraDropout", c.loraDropout !== 0],
      ["useDora", c.useDora],
      ["loraBias", c.loraBias],
      ["useBdlora", c.useBdlora !== undefined],
      ["kasaConfig", c.kasaConfig !== undefined],
      ["montecloraConfig", c.montecloraConfig !== undefined],
      ["veloraConfig", c.veloraConfig !== undefined],
      ["initLoraWeights", typeof init === "string" && init !== "gaussian"],
    ] as const
  ).find(([, isWrong]) => isWrong)?.[0];
  if (wrong === undefined) return;
  throw new PeftError("adapter-config", {
    what: words`${option(wrong, c[wrong])} stands beside ${option("targetParameters")}, which name ${parameter}.`,
    why: "a parameter takes a plain low-rank change of its matrices, as in Python's PEFT.",
    fix: words`leave out ${option(wrong)}, or ${option("targetParameters")}.`,
  });
}

function parameters(c: LoraConfig, site: ExpertSite): ParameterSpec[] {
  refuseBeside(c, site.path);
  const { inDim, outDim, experts } = site;
  const r = rankOf(c, site);
  const init = c.initLoraWeights;
  const a: Initial = init === "gaussian" ? { kind: "normal", std: 1 / r } : kaiming(inDim);
  const b: Initial = init === false ? kaiming(r * experts) : ZERO;
  return [
    { key: "lora_A.weight", shape: [experts * r, inDim], initial: a },
    { key: "lora_B.weight", shape: [outDim, r * experts], initial: b },
  ];
}

/** A [experts r, in] and B [out, r experts] as stacks: A_e [r, in], B_e [out, r]. */
function stacks(g: Graph, { experts }: ExpertSite, a: Tensor, b: Tensor): { A: Tensor; B: Tensor } {
  const [inDim, outDim] = [dimAt(a.shape, 1), dimAt(b.shape, 0)];
  const r = lengthAt(b.shape, 1) / experts;
  return {
    A: g.reshape(a, [experts, r, inDim]),
    B: g.transpose(g.reshape(b, [outDim, r, experts]), [2, 0, 1]),
  };
}

/** y_e + s B_e (A_e x_e) */
function forward(a: ExpertPlace & { readonly site: ExpertSite }, x: Tensor): Tensor {
  const { g, site, slots } = a;
  const { A, B } = stacks(g, site, a.p("lora_A.weight"), a.p("lora_B.weight"));
  const scale = a.scale.shape.length === 0 ? a.scale : slots.ofSample(a.scale);
  const low = g.mul(g.expertLinear(x, slots.starts, A), scale); // [slots, r]
  return g.add(a.next(x), g.expertLinear(low, slots.starts, B));
}

/**
 * LoRA on stacks of experts, each with factors of its own: W_e + s B_e A_e.
 * Reference: peft/tuners/lora/layer.py, ParamWrapper
 */
export const stack: ExpertMethod<LoraConfig> = {
  parameters,
  forward,
  scale: scaleOf,
  structure: () => "experts",
  merge: ({ g, p, scale, weight, site }) => {
    const { A, B } = stacks(g, site, p("lora_A.weight"), g.mul(p("lora_B.weight"), scale));
    const delta = site.transposed ? g.matmul(A, B, { transA: true, transB: true }) : g.matmul(B, A);
    return { weight: g.add(weight, delta) };
  },
};

/**
 * Targets by the names of transformers 4, where each expert had layers: w1 and w3 are gate_up_proj now. What
 * became one parameter of several layers has as many times the rank and alpha, so that it can be what they
 * were. Reference: peft/utils/transformers_weight_conversion.py, _convert_peft_config_moe
 */
export function expertTargets(
  c: LoraConfig,
  { parameters }: LayerLists,
  allLinear: () => readonly string[],
): LoraConfig {
  if (parameters === undefined) return c;
  const { targetModules: asked, targetParameters = [] } = c;
  const last = (path: string): string => path.slice(path.lastIndexOf(".") + 1);
  const isAll = typeof asked === "string" && asked.toLowerCase() === "all-linear";
  const all = (): string[] => [...new Set([...allLinear().map(last), ...Object.keys(parameters)])];
  const targets = isAll ? all() : asked;
  if (targets === undefined || typeof targets === "string") return withFields(c, { targetParameters });
  const old = new Map(targets.map((target) => [target, parameters[last(target)]]));
  const found = [...new Set([...old.values()].filter((name) => name !== undefined))];
  const [rankPattern, alphaPattern] = [{ ...c.rankPattern }, { ...c.alphaPattern }];
  for (const name of found) {
    const parts = Object.keys(parameters).filter((part) => parameters[part] === name);
    const absent = parts.filter((part) => !targets.some((target) => last(target) === part));
    if (absent.length > 0) throw halfAsked(name, parts, absent);
    if (parts.length === 1) continue;
    const pattern = `.*\\.${name}`;
    rankPattern[pattern] = c.r * parts.length;
    alphaPattern[pattern] = c.loraAlpha * parts.length;
  }
  return withFields(c, {
    ...{ rankPattern, alphaPattern },
    targetModules: targets.filter((target) => old.get(target) === undefined),
    targetParameters: [...new Set([...targetParameters, ...found])],
  });
}

function halfAsked(name: string, parts: readonly string[], absent: readonly string[]): PeftError {
  return new PeftError("adapter-targets", {
    what: words`${option("targetModules")} name a part of ${name} alone.`,
    why: `${parts.join(" and ")} are one parameter of all experts, ${name}, and ${absent.join(", ")} is not named.`,
    fix: words`add ${absent.join(", ")}, or use ${option("targetParameters", [name])}.`,
  });
}
