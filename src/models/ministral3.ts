import { llama } from "./llama.js";
import { readWindowOfAll } from "./mistral.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";

/** The rope of a config that has none. */
const ROPE = {
  ...{ type: "yarn", rope_theta: 1e6, factor: 16, original_max_position_embeddings: 16384 },
  ...{ beta_fast: 32, beta_slow: 1, mscale_all_dim: 1, mscale: 1, llama_4_scaling_beta: 0.1 },
};

function read(f: Fields): DecoderConfig {
  const c = readDecoder(f, { eps: 1e-5, kvHeads: 8, headDim: 128 });
  const rope = f.object("rope_parameters");
  const beta = rope?.number("llama_4_scaling_beta");
  const context = rope?.count("original_max_position_embeddings");
  return {
    ...c,
    ...readWindowOfAll(f, c.layers, undefined),
    qkvBias: false,
    outBias: false,
    mlpBias: false,
    queryGrowth: beta === undefined || context === undefined ? undefined : { beta, context },
  };
}

/** Mistral whose queries grow with their positions. Reference: transformers/models/ministral3 */
export const ministral3: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["ministral3"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 11 },
  roles: { targets: undefined },
  parse: (json) => readConfig({ ...json, rope_parameters: json["rope_parameters"] ?? ROPE }, read),
  heads: { ...llama.heads, spanEnds: (w, _c, hidden) => w.linear("qa_outputs", hidden, 2) },
  newModules: ["score", "qa_outputs"],
};
