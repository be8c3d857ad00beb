import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder, readWindowed } from "./parts/decoder_config.js";

/** Mistral of whose layers some have a window. Reference: transformers/models/ministral */
export const ministral: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["ministral"],
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { kvHeads: 8 });
      const window = json["sliding_window"] === null ? undefined : f.count("sliding_window", 4096);
      return {
        ...c,
        qkvBias: false,
        outBias: false,
        mlpBias: false,
        window,
        windowed: readWindowed(f, c.layers, () => window !== undefined),
      };
    }),
};
