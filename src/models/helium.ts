import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder } from "./parts/decoder_config.js";

/** Llama whose positions turn neighbours. Reference: transformers/models/helium */
export const helium: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["helium"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 3 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { eps: 1e-8, headDim: 128, kvHeads: 20, theta: 100_000 });
      return { ...c, outBias: false, neighbours: true };
    }),
};
