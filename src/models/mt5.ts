import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { T5Config } from "./t5.js";
import { readT5, t5 } from "./t5.js";

/** T5 v1.1 on many languages: never scaled. Reference: transformers/models/mt5 */
export const mt5: Architecture<T5Config> = {
  ...t5,
  modelTypes: ["mt5"],
  untied: {},
  defaultTokens: { eos_token_id: 1, pad_token_id: 0, decoder_start_token_id: 0 },
  roles: {
    targets: ["q", "v"],
    norms: ["layer_norm", "final_layer_norm"],
    scaled: { targets: ["k", "v", "wi_1"], feedforward: [] },
  },
  parse: (json) => readConfig({ feed_forward_proj: "gated-gelu", ...json }, (f) => readT5(f, false)),
};
