import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { HEAD_NORM, LATE_NORMS, readDecoder, readWindowed } from "./parts/decoder_config.js";

/**
 * Llama that norms what its sublayers give; of layers with and without windows those without have no
 * positions. Reference: transformers/models/exaone4
 */
export const exaone4: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["exaone4"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 2 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { eps: 1e-5 });
      const window = json["sliding_window"] === null ? undefined : f.count("sliding_window", 4096);
      const pattern = f.size("sliding_window_pattern", 4);
      const isNear = (i: number): boolean => window !== undefined && (i + 1) % pattern !== 0;
      const windowed = readWindowed(f, c.layers, isNear);
      return {
        ...c,
        qkvBias: false,
        outBias: false,
        mlpBias: false,
        norms: LATE_NORMS,
        headNorm: HEAD_NORM,
        window,
        windowed,
        unturned: windowed.map((isWindowed) => window !== undefined && !isWindowed),
      };
    }),
};
