import { PeftError } from "../errors.js";
import { axes, lengthAt, mulDims } from "../graph/dims.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { AdaptionPromptOptions, AdaptionPromptValues } from "./config_types.js";
import { perRow } from "./gate.js";
import { ZERO } from "./initial.js";
import type { AttentionPlace, ConfigClass, Method, MethodTable } from "./method.js";
import { common } from "./shared_options.js";

const options: MethodTable = {
  ...common,
  targetModules: {
    kind: "text",
    form: "NAME",
    otherwise: "the model's",
    means: "name of the attention modules",
  },
  adapterLen: {
    kind: "whole",
    min: 1,
    otherwise: "must be given",
    means: "rows of a prompt; the paper has 10",
  },
  adapterLayers: {
    kind: "whole",
    min: 1,
    otherwise: "must be given",
    means: "how many layers have a prompt, from the top; the paper has 30",
  },
};

export type { AdaptionPromptOptions };
export type AdaptionPromptConfig = AdaptionPromptValues;
/**
 * Config of adaption prompts (arXiv 2303.16199). Reference: peft/tuners/adaption_prompt/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, AdaptionPromptConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new AdaptionPromptConfig({ adapterLen: 10, adapterLayers: 2 }));
 * ```
 */
export const AdaptionPromptConfig: ConfigClass<AdaptionPromptValues, AdaptionPromptOptions> = configClass(
  "ADAPTION_PROMPT",
  "AdaptionPromptConfig",
  {
    options,
  },
);

function given(value: number | undefined, name: string, why: string): number {
  if (value !== undefined) return value;
  throw new PeftError("adapter-config", {
    what: words`${option(name)} is not given.`,
    why: `there is no usual number of ${why}.`,
    fix: words`${option("adapterLen", 10)}, ${option("adapterLayers", 30)}, as in the paper.`,
  });
}

/** gate softmax(q k^T / sqrt(d)) v, of keys and values of the prompt. */
function forward({ g, project, p, gate }: AttentionPlace, q: Tensor): Tensor {
  const { k, v } = project(p("adaption_prompt"));
  const [batch, , queries] = axes(q.shape, 4);
  const [heads, kvHeads, headDim] = [lengthAt(q.shape, 1), lengthAt(k.shape, 1), lengthAt(q.shape, -1)];
  const grouped = g.reshape(q, [batch, kvHeads, mulDims(heads / kvHeads, queries), headDim]);
  const scores = g.mul(g.matmul(grouped, k, { transB: true }), headDim ** -0.5);
  const mixed = g.matmul(g.mul(g.softmax(scores), p("adaption_gate")), v);
  const whole = g.reshape(mixed, q.shape);
  return g.mul(whole, perRow(g, gate, whole));
}

/**
 * Prompts of their own for upper layers' attention, with gates that start at zero. arXiv 2303.16199.
 * Reference: peft/tuners/adaption_prompt
 */
export const adaptionPrompt: Method<AdaptionPromptConfig> = {
  name: "adaption-prompt",
  config: AdaptionPromptConfig,
  learningRate: { value: 5e-3, from: "PEFT's comparison of methods" },
  attention: {
    module: (c) => c.targetModules,
    layers: (c) => given(c.adapterLayers, "adapterLayers", "layers"),
    parameters: (c, { hidden }) => [
      { key: "adaption_gate", shape: [1], initial: ZERO },
      {
        key: "adaption_prompt",
        shape: [1, given(c.adapterLen, "adapterLen", "rows"), hidden],
        initial: { kind: "normal", std: 1 },
      },
    ],
    forward,
  },
};
