import { readCap } from "./gemma2.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";
import { rowHeads } from "./parts/decoder_heads.js";

/** Llama whose norms have no weights. Reference: transformers/models/olmo */
export const olmo: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["olmo"],
  defaultTokens: { eos_token_id: 50279, pad_token_id: 1 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readDecoder(f),
      norm: "bare",
      eps: 1e-5,
      mlpBias: false,
      clip: readCap(f, "clip_qkv", undefined),
    })),
  heads: rowHeads,
};
