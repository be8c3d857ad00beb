import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";

/** Llama with other names for its biases. Reference: transformers/models/internlm3 */
export const internlm3: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["internlm3"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 2 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const bias = f.flag("qkv_bias", f.flag("attention_bias", false));
      const c = readDecoder(f, { eps: 1e-5, kvHeads: 2, headDim: 128 });
      return { ...c, qkvBias: bias, outBias: bias, mlpBias: f.flag("bias", f.flag("mlp_bias", false)) };
    }),
};
