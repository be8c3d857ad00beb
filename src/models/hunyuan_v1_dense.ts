import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { HEAD_NORM, readDecoder } from "./parts/decoder_config.js";
import { rowHeads } from "./parts/decoder_heads.js";

const NAMES = { q: "query_layernorm", k: "key_layernorm" };

/**
 * Llama that norms heads after positions have turned them.
 * Reference: transformers/models/hunyuan_v1_dense
 */
export const hunyuanV1Dense: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["hunyuan_v1_dense"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 0 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readDecoder(f, { eps: 1e-5 }),
      mlpBias: false,
      headNorm: { ...HEAD_NORM, names: NAMES, isLate: true },
    })),
  heads: rowHeads,
};
