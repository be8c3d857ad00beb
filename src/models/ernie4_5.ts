import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";

/** Llama whose positions turn neighbours. Reference: transformers/models/ernie4_5 */
export const ernie45: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["ernie4_5"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 0 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, {
        ...{ eps: 1e-5, kvHeads: 2, headDim: 128, theta: 500_000, tied: true, biasKey: "use_bias" },
      });
      return { ...c, mlpBias: c.qkvBias, attentionDropout: 0, neighbours: true };
    }),
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
};
