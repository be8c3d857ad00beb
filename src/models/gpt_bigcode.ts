import { activationNames } from "../graph/activations.js";
import type { Gpt2Config } from "./gpt2.js";
import { gpt2, readGpt2 } from "./gpt2.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { decoderHeads, tokenHeads } from "./parts/decoder_heads.js";

/**
 * GPT-2 with one head of keys and values (StarCoder, SantaCoder).
 * Reference: transformers/models/gpt_bigcode
 */
export const gptBigcode: Architecture<Gpt2Config> = {
  ...gpt2,
  modelTypes: ["gpt_bigcode"],
  roles: {
    targets: ["c_attn"],
    scaled: { targets: ["c_attn", "mlp.c_proj"], feedforward: ["mlp.c_proj"] },
  },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readGpt2(f);
      const isShared = f.flag("multi_query", true);
      const kvHeads = isShared ? 1 : c.heads;
      return {
        ...c,
        cache: { ...c.cache, kvHeads },
        kvHeads,
        byHead: !isShared,
        transposed: false,
        activation: f.choice("activation_function", activationNames, "gelu_pytorch_tanh"),
      };
    }),
  heads: { ...decoderHeads("transformer.wte.weight"), tokenLabels: tokenHeads<Gpt2Config>().tokenLabels },
};
