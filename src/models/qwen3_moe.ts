import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { HEAD_NORM, readDecoder } from "./parts/decoder_config.js";
import { expertStack, LAYER_NAMES } from "./parts/experts.js";
import type { QwenMoeConfig } from "./qwen2_moe.js";
import { EXPERT_LAYERS, qwenExperts, readQwenMoe } from "./qwen2_moe.js";
import { qwen3 } from "./qwen3.js";

/** Qwen 3 with experts. Reference: transformers/models/qwen3_moe */
export const qwen3Moe: Architecture<QwenMoeConfig> = {
  ...qwen3,
  modelTypes: ["qwen3_moe"],
  roles: { targets: undefined, parameters: LAYER_NAMES },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f);
      const window = f.flag("use_sliding_window", false) ? f.count("sliding_window", 4096) : undefined;
      const windowed = c.windowed.map(() => window !== undefined);
      const experts = readQwenMoe(f, c.layers, { chosen: 8 });
      const rest = { mlpBias: false, headNorm: HEAD_NORM, sharedInter: undefined };
      return { ...c, ...rest, ...experts, window, windowed };
    }),
  checkpoint: { experts: EXPERT_LAYERS },
  stack: expertStack(qwenExperts),
};
