import { llama } from "./llama.js";
import { readWindowOfAll } from "./mistral.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";

/**
 * Llama with biases, layer norms and a feed-forward without a gate.
 * Reference: transformers/models/starcoder2
 */
export const starcoder2: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["starcoder2"],
  defaultTokens: { bos_token_id: 50256, eos_token_id: 50256 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, {
        ...{ epsKey: "norm_epsilon", eps: 1e-5, kvHeads: 2, biasKey: "use_bias", bias: true, tied: true },
        activation: "gelu_pytorch_tanh",
      });
      const dropout = f.rate("residual_dropout", 0);
      return {
        ...c,
        ...readWindowOfAll(f, c.layers, undefined),
        norm: "layer",
        mlp: { up: "c_fc", down: "c_proj" },
        mlpBias: c.qkvBias,
        embeddingDropout: f.rate("embedding_dropout", 0),
        attendedDropout: dropout,
        mlpDropout: dropout,
      };
    }),
};
