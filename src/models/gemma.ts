import { activationNames } from "../graph/activations.js";
import type { LlamaConfig } from "./llama.js";
import { llama, readLlama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";

/** The fields that every Gemma has, with the name of its activation's field. */
export function readGemma(f: Fields, activationKey: "hidden_act" | "hidden_activation"): LlamaConfig {
  if (f.flag("use_bidirectional_attention", false))
    f.unbuilt(`"use_bidirectional_attention" is true, and peft.js knows this model as a decoder`);
  const c = readLlama(f);
  const headDim = f.size("head_dim", 256);
  return {
    ...c,
    headDim,
    cache: { ...c.cache, headDim },
    activation: f.choice(activationKey, activationNames, "gelu_pytorch_tanh"),
    tied: f.flag("tie_word_embeddings", true),
    mlpBias: false,
    unitNorm: true,
    embeddingScale: c.hiddenSize ** 0.5,
    scoreScale: headDim ** -0.5,
  };
}

/**
 * Llama whose embeddings are scaled and whose norms' weights count from 1. Reference:
 * transformers/models/gemma
 */
export const gemma: Architecture<LlamaConfig> = {
  ...llama,
  modelTypes: ["gemma"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  roles: {
    targets: ["q_proj", "v_proj"],
    norms: ["input_layernorm", "post_attention_layernorm", "norm"],
    scaled: { targets: ["q_proj", "v_proj", "down_proj"], feedforward: ["down_proj"] },
  },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readGemma(f, "hidden_act");
      // The first files say "gelu" and mean its approximation.
      return { ...c, activation: c.activation === "gelu" ? "gelu_pytorch_tanh" : c.activation };
    }),
};
