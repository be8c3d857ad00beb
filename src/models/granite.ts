import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";

/** The fields of Granite. */
export function readGranite(f: Fields): DecoderConfig {
  return {
    ...readDecoder(f),
    inputScale: f.number("embedding_multiplier", 1),
    residualScale: f.number("residual_multiplier", 1),
    scoreScale: f.number("attention_multiplier", 1),
    logitScale: 1 / f.number("logits_scaling", 1),
  };
}

/** Llama with multipliers in four places. Reference: transformers/models/granite */
export const granite: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["granite"],
  roles: { targets: undefined },
  parse: (json) => readConfig(json, readGranite),
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
};
