import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { HEAD_NORM, readDecoder } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";

/** The fields that Cohere's models share. */
export function readCohere(f: Fields): DecoderConfig {
  return {
    ...readDecoder(f, { epsKey: "layer_norm_eps", eps: 1e-5, theta: 500_000, tied: true }),
    mlpBias: false,
    norm: "weightOnly",
    norms: { attention: { before: "input_layernorm" }, feedForward: {} },
    parallel: true,
    neighbours: true,
    logitScale: f.number("logit_scale", 0.0625),
  };
}

/** Attention and feed-forward side by side; logits are scaled. Reference: transformers/models/cohere */
export const cohere: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["cohere"],
  defaultTokens: { bos_token_id: 5, eos_token_id: 255001, pad_token_id: 0 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readCohere(f),
      headNorm: f.flag("use_qk_norm", false)
        ? { ...HEAD_NORM, over: "heads", kind: "weightOnly" }
        : undefined,
    })),
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
};
