import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";

/** Llama with biases on queries, keys and values. Reference: transformers/models/seed_oss */
export const seedOss: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["seed_oss"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const dropout = f.rate("residual_dropout", 0.1);
      return {
        ...readDecoder(f, { kvHeads: 8, headDim: 128, bias: true }),
        outBias: f.flag("attention_out_bias", false),
        attentionDropout: f.rate("attention_dropout", 0.1),
        attendedDropout: dropout,
        mlpDropout: dropout,
      };
    }),
};
