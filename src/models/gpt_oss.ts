import { dimAt } from "../graph/dims.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { clamp } from "./parts/decoder_attention.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder, readWindowed } from "./parts/decoder_config.js";
import type { ExpertSlots, ExpertsConfig } from "./parts/experts.js";
import { expertStack, likeliestOf, mixture, readExperts, routed, router } from "./parts/experts.js";

interface GptOssConfig extends DecoderConfig, ExpertsConfig {
  /** Of the gate x sigmoid(alpha x), and what gate and up stay within. */
  readonly alpha: number;
  readonly limit: number;
}

/** Experts with biases, gate and up channel by channel: down((up + 1) gate sigmoid(alpha gate)). */
function clippedExperts(w: Module, c: GptOssConfig): (x: Tensor, slots: ExpertSlots) => Tensor {
  const { g } = w;
  const layer = (name: string, x: Tensor, width: number, slots: ExpertSlots): Tensor => {
    const bias = w.get(`${name}_bias`, [c.experts, width]);
    return g.add(w.experts(name, x, width, slots, true), g.gather(bias, slots.expert));
  };
  return (x, slots) => {
    const both = layer("gate_up_proj", x, 2 * c.expertInter, slots);
    const pairs = g.reshape(both, [dimAt(both.shape, 0), c.expertInter, 2]);
    const one = (i: number): Tensor => g.squeeze(g.slice(pairs, 2, i, i + 1), 2);
    const gated = g.min(one(0), c.limit);
    const glu = g.mul(gated, g.sigmoid(g.mul(gated, c.alpha)));
    const inner = g.mul(g.add(clamp(g, one(1), c.limit), 1), glu);
    return layer("down_proj", inner, c.hiddenSize, slots);
  };
}

/** Llama with attention sinks and experts that are clipped. Reference: transformers/models/gpt_oss */
export const gptOss: Architecture<GptOssConfig> = {
  ...llama,
  modelTypes: ["gpt_oss"],
  defaultTokens: {},
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { eps: 1e-5, theta: 150000, headDim: 64, bias: true });
      return {
        ...c,
        ...readExperts(f, "num_local_experts", "intermediate_size", 4),
        sinks: true,
        window: f.count("sliding_window", 128),
        windowed: readWindowed(f, c.layers, (i) => i % 2 === 0),
        alpha: f.number("swiglu_alpha", 1.702),
        limit: f.number("swiglu_limit", 7),
      };
    }),
  stack: expertStack((layer, c, x) => {
    const w = layer.at("mlp");
    const logits = router(w, "router", x, c.experts, true);
    const choice = likeliestOf(w.g, logits, c.chosen);
    return routed(w.output(mixture(w.g, x, c.experts, choice, clippedExperts(w.at("experts"), c))), logits);
  }),
};
