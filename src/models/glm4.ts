import { glm, readGlm } from "./glm.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

const NORMS: DecoderConfig["norms"] = {
  attention: { before: "input_layernorm", after: "post_self_attn_layernorm" },
  feedForward: { before: "post_attention_layernorm", after: "post_mlp_layernorm" },
};

/** GLM whose sublayers' results are normed too. Reference: transformers/models/glm4 */
export const glm4: Architecture<DecoderConfig> = {
  ...glm,
  modelTypes: ["glm4"],
  parse: (json) => readConfig(json, (f) => ({ ...readGlm(f), norms: NORMS })),
};
