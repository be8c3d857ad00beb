import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";

import { readDecoder, readWindowed } from "./parts/decoder_config.js";

/** Llama of whose layers some have no positions, and some a window. Reference: transformers/models/smollm3 */
export const smollm3: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["smollm3"],
  defaultTokens: { bos_token_id: 128000, eos_token_id: 128001, pad_token_id: 128004 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { kvHeads: 4, theta: 2_000_000, tied: true });
      const interval = f.size("no_rope_layer_interval", 4);
      const usual = Array.from({ length: c.layers }, (_, i) => ((i + 1) % interval === 0 ? 0 : 1));
      const turns = f.has("no_rope_layers") ? f.numbers("no_rope_layers") : usual;
      if (turns.length < c.layers) f.fault(`"no_rope_layers" names ${turns.length} of ${c.layers} layers`);
      const unturned = Array.from({ length: c.layers }, (_, i) => turns[i] === 0);
      const hasWindow = f.flag("use_sliding_window", false) && f.has("sliding_window");
      return {
        ...c,
        unturned,
        window: hasWindow ? f.count("sliding_window") : undefined,
        windowed: readWindowed(f, c.layers, (i) => hasWindow && unturned[i] === true),
      };
    }),
};
