import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";

/** Llama with a feed-forward without a gate. Reference: transformers/models/arcee */
export const arcee: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["arcee"],
  defaultTokens: { bos_token_id: 128000, eos_token_id: 128001 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readDecoder(f, { eps: 1e-5, activation: "relu2" }),
      mlp: { up: "up_proj", down: "down_proj" },
    })),
};
