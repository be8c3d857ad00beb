import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";

/** The fields of GLM 4's models, with 9 billion parameters and more. */
export function readGlm(f: Fields): DecoderConfig {
  return {
    ...readDecoder(f, { eps: 1.5625e-7, kvHeads: 2, headDim: 128, turned: 0.5, bias: true }),
    outBias: false,
    mlpBias: false,
    mlp: { up: "gate_up_proj", down: "down_proj", fused: true },
    neighbours: true,
  };
}

/**
 * Llama with a fused feed-forward; positions turn half of a head's channels.
 * Reference: transformers/models/glm
 */
export const glm: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["glm"],
  defaultTokens: { pad_token_id: 151329 },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, readGlm),
};
