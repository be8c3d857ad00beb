import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { decoderStack } from "./parts/decoder.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";

/** Reference: transformers/models/llama */
export const llama: Architecture<DecoderConfig> = {
  modelTypes: ["llama"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2 },
  prefix: "model",
  roles: {
    targets: ["q_proj", "v_proj"],
    attention: "self_attn",
    norms: ["input_layernorm", "post_attention_layernorm", "norm"],
    scaled: { targets: ["k_proj", "v_proj", "down_proj"], feedforward: ["down_proj"] },
  },
  parse: (json) => readConfig(json, (f) => readDecoder(f)),
  tie: ["lm_head.weight", "model.embed_tokens.weight"],
  stack: decoderStack(),
  heads: llamaHeads,
  newModules: ["score"],
};
