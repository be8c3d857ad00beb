import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { HEAD_NORM, LLAMA_NORMS, readDecoder } from "./parts/decoder_config.js";

/** Llama with layer norms, some of it in parallel. Reference: transformers/models/stablelm */
export const stablelm: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["stablelm"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 0 },
  roles: { targets: ["q_proj", "v_proj"] },
  parse: (json) =>
    readConfig(json, (f) => {
      const parallel = f.flag("use_parallel_residual", false);
      const names = { q: "q_layernorm", k: "k_layernorm" };
      return {
        ...readDecoder(f, { epsKey: "layer_norm_eps", eps: 1e-5, turned: 0.25, biasKey: "use_qkv_bias" }),
        outBias: false,
        mlpBias: false,
        norm: "layer",
        norms: parallel ? { ...LLAMA_NORMS, feedForward: {} } : LLAMA_NORMS,
        parallel,
        headNorm: f.flag("qk_layernorm", false)
          ? { ...HEAD_NORM, names, over: "modules", kind: "weightOnly" }
          : undefined,
        mlpDropout: f.rate("hidden_dropout", 0),
      };
    }),
};
