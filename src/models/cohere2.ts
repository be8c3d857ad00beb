import { cohere, readCohere } from "./cohere.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readWindowed } from "./parts/decoder_config.js";

/** Cohere with windows; layers without one have no positions. Reference: transformers/models/cohere2 */
export const cohere2: Architecture<DecoderConfig> = {
  ...cohere,
  modelTypes: ["cohere2"],
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readCohere(f);
      const pattern = f.size("sliding_window_pattern", 4);
      const windowed = readWindowed(f, c.layers, (i) => (i + 1) % pattern !== 0);
      return {
        ...c,
        window: f.count("sliding_window", 4096),
        windowed,
        unturned: windowed.map((isWindowed) => !isWindowed),
      };
    }),
};
