import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { decoderStack } from "./parts/decoder.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { HEAD_NORM, readDecoder } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";

/** The rope of a config that has none. */
const ROPE = {
  ...{ rope_type: "llama3", rope_theta: 12e6, factor: 8, original_max_position_embeddings: 8192 },
  ...{ low_freq_factor: 1, high_freq_factor: 4 },
};
const NORMS: DecoderConfig["norms"] = {
  attention: { before: "attention_layernorm" },
  feedForward: { before: "feedforward_layernorm" },
};
/** Slope of the activation at 0. */
const BETA = 0.5;

function read(f: Fields): DecoderConfig {
  const c = readDecoder(f, { eps: 1e-5, theta: 12e6 });
  return { ...c, mlpBias: false, norms: NORMS, headNorm: HEAD_NORM };
}

function feedForward(layer: Module, c: DecoderConfig, x: Tensor): Tensor {
  const w = layer.at("mlp");
  const inner = xielu(w.at("act_fn"), w.linear("up_proj", x, c.inter, { bias: false }));
  return w.output(w.linear("down_proj", inner, c.hiddenSize, { bias: false }));
}

/** x > 0: a x^2 + beta x; else b (e^x - 1 - x) + beta x, with trained a and b (2411.13010). */
function xielu(w: Module, x: Tensor): Tensor {
  const { g } = w;
  const softplus = (name: string): Tensor => g.log(g.add(g.exp(w.get(name, [1])), 1));
  const [a, b] = [softplus("alpha_p"), g.add(softplus("alpha_n"), BETA)];
  const below = g.sub(g.sub(g.exp(g.min(x, 0)), 1), x);
  const curve = g.where(g.less(0, x), g.mul(g.square(x), a), g.mul(below, b));
  return g.add(curve, g.mul(x, BETA));
}

/** Llama with norms on heads and an activation that learns. Reference: transformers/models/apertus */
export const apertus: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["apertus"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 3 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig({ ...json, hidden_act: undefined, rope_parameters: json["rope_parameters"] ?? ROPE }, (f) => {
      if ((json["hidden_act"] ?? "xielu") !== "xielu")
        f.unbuilt(`"hidden_act" is ${JSON.stringify(json["hidden_act"])}, and peft.js knows "xielu" here`);
      return read(f);
    }),
  stack: decoderStack({ feedForward }),
  heads: {
    vocabulary: llamaHeads.vocabulary,
    tokenLabels: llamaHeads.tokenLabels,
    hidden: llamaHeads.hidden,
  },
};
