import { PeftError } from "../errors.js";
import { mulDims } from "../graph/dims.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import { perRow } from "./gate.js";
import { ZERO } from "./initial.js";
import type { AdapterConfig, AttentionAdapted, Json, Method } from "./method.js";
import type { CommonOptions } from "./shared_options.js";
import { CommonConfig, commonFields } from "./shared_options.js";

/** Options of adaption prompts. */
export interface AdaptionPromptOptions extends Omit<CommonOptions, "modulesToSave"> {
  /** Rows of a prompt. Must be given. */
  adapterLen?: number | undefined;
  /** How many layers have one, from the top. Must be given. */
  adapterLayers?: number | undefined;
  /** Name of the attention modules. Default: the model's. */
  targetModules?: string | undefined;
}

const { modules_to_save: _, ...common } = commonFields("ADAPTION_PROMPT");
const fields: Readonly<Record<string, Json>> = {
  ...common,
  target_modules: null,
  adapter_len: null,
  adapter_layers: null,
};

/** Config of adaption prompts (arXiv 2303.16199). Throws "adapter-config". Reference: peft/tuners/adaption_prompt/config.py */
export class AdaptionPromptConfig extends CommonConfig implements AdapterConfig {
  readonly peftType = "ADAPTION_PROMPT";
  readonly adapterLen: number | undefined;
  readonly adapterLayers: number | undefined;
  readonly targetModules: string | undefined;

  constructor(options: AdaptionPromptOptions = {}) {
    const read = new OptionReader("AdaptionPromptConfig", options, fields);
    super(read);
    this.adapterLen = read.integer("adapterLen", { min: 1 });
    this.adapterLayers = read.integer("adapterLayers", { min: 1 });
    this.targetModules = read.text("targetModules");
    read.done();
  }
}

function given(value: number | undefined, option: string, why: string): number {
  if (value !== undefined) return value;
  throw new PeftError("adapter-config", {
    what: `${option} is not given.`,
    why: `there is no usual number of ${why}.`,
    fix: "new AdaptionPromptConfig({ adapterLen: 10, adapterLayers: 30 }), as in the paper.",
  });
}

/** gate softmax(q k^T / sqrt(d)) v, of keys and values of the prompt. */
function forward({ g, q, project, p, gate }: AttentionAdapted): Tensor {
  const { k, v } = project(p("adaption_prompt"));
  const [batch, heads, queries, headDim] = q.shape as [
    Tensor["shape"][0],
    number,
    Tensor["shape"][0],
    number,
  ];
  const kvHeads = k.shape[1] as number;
  const grouped = g.reshape(q, [batch, kvHeads, mulDims(heads / kvHeads, queries), headDim]);
  const scores = g.mul(g.matmul(grouped, k, { transB: true }), headDim ** -0.5);
  const mixed = g.matmul(g.mul(g.softmax(scores), p("adaption_gate")), v);
  const whole = g.reshape(mixed, q.shape);
  return g.mul(whole, perRow(g, gate, whole));
}

/** Prompts of their own for upper layers' attention, with gates that start at zero. arXiv 2303.16199. Reference: peft/tuners/adaption_prompt */
export const adaptionPrompt: Method<AdaptionPromptConfig> = {
  peftType: "ADAPTION_PROMPT",
  name: "adaption-prompt",
  fields,
  floats: [],
  create: (options) => new AdaptionPromptConfig(options as AdaptionPromptOptions),
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
