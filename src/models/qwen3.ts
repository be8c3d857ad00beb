import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { HEAD_NORM, readDecoder } from "./parts/decoder_config.js";
import { qwen2, readWindow } from "./qwen2.js";

/** Llama with norms on the heads of queries and keys. Reference: transformers/models/qwen3 */
export const qwen3: Architecture<DecoderConfig> = {
  ...qwen2,
  modelTypes: ["qwen3"],
  defaultTokens: {},
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { headDim: 128 });
      return { ...c, ...readWindow(f, c.layers), mlpBias: false, headNorm: HEAD_NORM };
    }),
};
