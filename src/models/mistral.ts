import type { LlamaConfig } from "./llama.js";
import { llama, readLlama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";

/** Llama with a sliding window in every layer. Reference: transformers/models/mistral */
export const mistral: Architecture<LlamaConfig> = {
  ...llama,
  modelTypes: ["mistral"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2 },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readLlama(f);
      // null says that there is no window, and a config without the field has the first model's
      const window = json["sliding_window"] === null ? undefined : f.count("sliding_window", 4096);
      const windowed = c.windowed.map(() => window !== undefined);
      return { ...c, qkvBias: false, outBias: false, mlpBias: false, window, windowed };
    }),
};
