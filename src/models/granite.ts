import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";

/** Llama with multipliers in four places. Reference: transformers/models/granite */
export const granite: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["granite"],
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readDecoder(f),
      inputScale: f.number("embedding_multiplier", 1),
      residualScale: f.number("residual_multiplier", 1),
      scoreScale: f.number("attention_multiplier", 1),
      logitScale: 1 / f.number("logits_scaling", 1),
    })),
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
};
