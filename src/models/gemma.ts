import { activationNames } from "../graph/activations.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";

/** The fields that every Gemma has, with the name of its activation's field. */
export function readGemma(f: Fields, activationKey: "hidden_act" | "hidden_activation"): DecoderConfig {
  const c = readDecoder(f, { headDim: 256, tied: true });
  return {
    ...c,
    activation: f.choice(activationKey, activationNames, "gelu_pytorch_tanh"),
    mlpBias: false,
    norm: "rms1p",
    embeddingScale: c.hiddenSize ** 0.5,
  };
}

/** Python's Gemma 1 and 2 read this flag, and mask as before. */
export function refuseBothSides(f: Fields): void {
  if (f.flag("use_bidirectional_attention", false))
    f.unbuilt(`"use_bidirectional_attention" is true, and peft.js knows this model as a decoder`);
}

/**
 * Llama whose embeddings are scaled and whose norms' weights count from 1. Reference:
 * transformers/models/gemma
 */
export const gemma: Architecture<DecoderConfig> = {
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
      refuseBothSides(f);
      // The first files say "gelu" and mean its approximation.
      return { ...c, activation: c.activation === "gelu" ? "gelu_pytorch_tanh" : c.activation };
    }),
};
