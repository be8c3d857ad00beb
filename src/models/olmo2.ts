import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { HEAD_NORM, LATE_NORMS, readDecoder } from "./parts/decoder_config.js";
import { rowHeads } from "./parts/decoder_heads.js";

/** The fields of OLMo 2 and 3. */
export function readOlmo2(f: Fields, theta?: number): DecoderConfig {
  const c = readDecoder(f, { eps: 1e-5, theta });
  return { ...c, mlpBias: false, norms: LATE_NORMS, headNorm: { ...HEAD_NORM, over: "width" } };
}

/**
 * Llama that norms what its sublayers give, and queries and keys over all heads.
 * Reference: transformers/models/olmo2
 */
export const olmo2: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["olmo2"],
  defaultTokens: { eos_token_id: 50279, pad_token_id: 1 },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, (f) => readOlmo2(f)),
  heads: rowHeads,
};
