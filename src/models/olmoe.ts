import { readCap } from "./gemma2.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { HEAD_NORM, readDecoder } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";
import { expertStack, LAYER_NAMES } from "./parts/experts.js";
import type { QwenMoeConfig } from "./qwen2_moe.js";
import { EXPERT_LAYERS, qwenExperts, readQwenMoe } from "./qwen2_moe.js";

/** OLMo with experts, and norms of queries and keys over all heads. Reference: transformers/models/olmoe */
export const olmoe: Architecture<QwenMoeConfig> = {
  ...llama,
  modelTypes: ["olmoe"],
  defaultTokens: { eos_token_id: 50279, pad_token_id: 1 },
  roles: { targets: undefined, parameters: LAYER_NAMES },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { eps: 1e-5 });
      return {
        ...c,
        ...readQwenMoe(f, c.layers, { inter: "intermediate_size", chosen: 8 }),
        ...{ mlpBias: false, clip: readCap(f, "clip_qkv", undefined), sharedInter: undefined },
        headNorm: { ...HEAD_NORM, over: "width" },
      };
    }),
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
  checkpoint: { experts: EXPERT_LAYERS },
  stack: expertStack(qwenExperts),
};
