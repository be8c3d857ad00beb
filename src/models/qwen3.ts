import type { LlamaConfig } from "./llama.js";
import { readLlama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { qwen2, readWindow } from "./qwen2.js";

/** Llama with norms on the heads of queries and keys. Reference: transformers/models/qwen3 */
export const qwen3: Architecture<LlamaConfig> = {
  ...qwen2,
  modelTypes: ["qwen3"],
  defaultTokens: {},
  parse: (json) =>
    readConfig({ ...json, head_dim: json["head_dim"] ?? 128 }, (f) => {
      const c = readLlama(f);
      return { ...c, ...readWindow(f, c.layers), mlpBias: false, headNorm: true };
    }),
};
