import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { AdaLoraOptions, AdaLoraValues } from "./config_types.js";
import { withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import { ignoredLora, startFields, unbuiltLora, variantFields } from "./lora_config.js";
import type {
  Adapted,
  ConfigClass,
  Initial,
  Merging,
  Method,
  MethodTable,
  SayFault,
  SiteMethod,
} from "./method.js";
import { RankAllocator } from "./rank_allocator.js";
import {
  bias,
  blocks,
  dropout,
  fanInFanOut,
  saving,
  startsWithoutEffect,
  targets,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  totalStep: {
    kind: "whole",
    min: 1,
    otherwise: "as many as the Trainer takes",
    means: "steps of the whole training",
  },
  initR: {
    kind: "whole",
    min: 1,
    byDefault: 12,
    also: ["r", "rank", "loraR"],
    means: "the rank at the start",
  },
  targetR: { kind: "whole", min: 1, byDefault: 8, means: "the mean rank at the end" },
  tinit: {
    kind: "whole",
    min: 0,
    byDefault: 0,
    means: "steps at the start in which ranks stay",
  },
  tfinal: {
    kind: "whole",
    min: 0,
    byDefault: 0,
    means: "steps at the end in which ranks stay",
  },
  deltaT: {
    kind: "whole",
    min: 1,
    byDefault: 1,
    python: "deltaT",
    means: "steps between changes of ranks",
  },
  beta1: { kind: "number", min: 0, max: 1, byDefault: 0.85, means: "smoothing of importance" },
  beta2: { kind: "number", min: 0, max: 1, byDefault: 0.85, means: "smoothing of importance's change" },
  orthRegWeight: {
    kind: "number",
    min: 0,
    byDefault: 0.5,
    means: "weight in the loss of what keeps A and B orthogonal",
  },
  loraAlpha: { kind: "number", byDefault: 8, also: ["alpha"], means: "scale of the update: alpha / initR" },
  loraDropout: dropout,
  fanInFanOut,
  bias: bias("lora_only"),
  initLoraWeights: startsWithoutEffect,
  rankPattern: {
    kind: "flagsByName",
    otherwise: "none",
    means: "which singular values stayed, by a layer's path and .lora_E, as a finished training says",
  },
};

export type { AdaLoraOptions };
export type AdaLoraConfig = AdaLoraValues;
/**
 * Config of AdaLoRA (arXiv 2303.10512). Reference: peft/tuners/adalora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, AdaLoraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new AdaLoraConfig({ initR: 12, targetR: 8, totalStep: 1000 }));
 * ```
 */
export const AdaLoraConfig: ConfigClass<AdaLoraValues, AdaLoraOptions> = configClass(
  "ADALORA",
  "AdaLoraConfig",
  {
    options,
    unbuilt: {
      ...unbuiltLora,
      target_parameters: null,
      alora_invocation_tokens: null,
      ...variantFields,
      ensure_weight_tying: false,
      use_dora: false,
      loftq_config: {},
      lora_bias: false,
      trainable_token_indices: null,
    },
    ignored: { ...ignoredLora, ...startFields, r: 8, use_rslora: false, alpha_pattern: {} },
    check: checkSchedule,
  },
);

function checkSchedule({ totalStep, tinit, tfinal }: AdaLoraConfig, fault: SayFault): void {
  if (totalStep !== undefined && tinit >= totalStep - tfinal)
    fault(
      words`${option("tinit")} is ${tinit}, ${option("tfinal")} ${tfinal} and ${option("totalStep")} ${totalStep}.`,
      "no step is left in which ranks change.",
      words`less of ${option("tinit")} and ${option("tfinal")}, or more steps.`,
    );
}

const ENDING = ".lora_E";

function rankOf({ rankPattern, initR }: AdaLoraConfig, { path }: LinearSite): number {
  return rankPattern?.[path + ENDING]?.filter((stays) => stays).length ?? initR;
}

/** alpha / initR; a layer that lost ranks keeps it. */
function scaleOf({ loraAlpha, initR }: AdaLoraConfig): number {
  return Math.fround((loraAlpha > 0 ? loraAlpha : initR) / Math.fround(initR + 1e-5));
}

/** y + s B E A dropout(x) */
function forward(a: Adapted<LinearSite>, x: Tensor, c: AdaLoraConfig): Tensor {
  const { g, p } = a;
  const low = g.linear(a.dropout(x, c.loraDropout), g.mul(p("lora_A"), p("lora_E")));
  const change = g.linear(low, p("lora_B"));
  return withChange(a, x, change);
}

function merge(m: Merging<LinearSite>): { weight: Tensor } {
  const { g, p } = m;
  return withDelta(m, g.matmul(p("lora_B"), g.mul(p("lora_A"), p("lora_E"))));
}

const linear: SiteMethod<AdaLoraConfig, LinearSite> = {
  parameters: (c, site) => {
    const r = rankOf(c, site);
    const start = (std: number): Initial =>
      c.initLoraWeights ? { kind: "normal", std } : { kind: "normal", std: 1 };
    return [
      { key: "lora_A", shape: [r, site.inDim], initial: start(0.02) },
      { key: "lora_E", shape: [r, 1], initial: start(0) },
      { key: "lora_B", shape: [site.outDim, r], initial: start(0.02) },
      { key: "ranknum", shape: [1], initial: { kind: "constant", value: c.initR }, frozen: "counted" },
    ];
  },
  forward,
  scale: scaleOf,
  merge,
};

/** Mean over all A and B of |A A^T - I| and |B^T B - I| (Frobenius), times its weight. */
function penalty(
  g: Graph,
  layers: readonly ((key: string) => Tensor)[],
  { orthRegWeight }: AdaLoraConfig,
): Tensor {
  const norms = layers.flatMap((p) => {
    const [a, b] = [p("lora_A"), p("lora_B")];
    return [g.matmul(a, a, { transB: true }), g.matmul(b, b, { transA: true })].map((product) => {
      const r = lengthAt(product.shape, 0);
      const identity = Array.from({ length: r * r }, (_, i) => (i % (r + 1) === 0 ? 1 : 0));
      return g.sqrt(g.sum(g.square(g.sub(product, g.constant(identity, [r, r])))));
    });
  });
  const sum = norms.reduce((total, norm) => g.add(total, norm));
  return g.mul(sum, orthRegWeight / norms.length);
}

/**
 * LoRA whose ranks are taken away where they matter least. arXiv 2303.10512. Reference:
 * peft/tuners/adalora/layer.py
 */
export const adalora: Method<AdaLoraConfig> = {
  name: "adalora",
  config: AdaLoraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    penalty,
    allocator: (c, tensors) => new RankAllocator(c, tensors),
  },
};
