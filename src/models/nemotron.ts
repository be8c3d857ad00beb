import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";

/**
 * Llama with layer norms whose weights count from 1, and a feed-forward without a gate.
 * Reference: transformers/models/nemotron
 */
export const nemotron: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["nemotron"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 3 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readDecoder(f, { epsKey: "norm_eps", eps: 1e-5, turned: 0.5, activation: "relu2" }),
      norm: "layer1p",
      mlp: { up: "up_proj", down: "down_proj" },
    })),
};
