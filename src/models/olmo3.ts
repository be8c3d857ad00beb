import type { Architecture } from "./model.js";
import { olmo2, readOlmo2 } from "./olmo2.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readWindowed } from "./parts/decoder_config.js";
import { readRopes } from "./parts/rotary.js";

/** Python's base of layers with a window, whatever the old field says. */
const THETA = 500_000;

/** OLMo 2 with windows, and a rope for each kind of layer. Reference: transformers/models/olmo3 */
export const olmo3: Architecture<DecoderConfig> = {
  ...olmo2,
  modelTypes: ["olmo3"],
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readOlmo2(f);
      return {
        ...c,
        ...readRopes(f, THETA, THETA),
        window: f.count("sliding_window", 4096),
        windowed: readWindowed(f, c.layers, (i) => (i + 1) % 4 !== 0),
      };
    }),
};
