import type { Architecture } from "./model.js";
import { mt5 } from "./mt5.js";
import { readConfig } from "./parts/config.js";
import type { T5Config } from "./t5.js";
import { readT5 } from "./t5.js";

/**
 * mT5 with a table of distances in each layer. Transformers 5 scales what goes into the head in every one of
 * them, whatever the config says, and so do we. Reference: transformers/models/umt5
 */
export const umt5: Architecture<T5Config> = {
  ...mt5,
  modelTypes: ["umt5"],
  roles: { targets: undefined },
  parse: (json) =>
    readConfig({ feed_forward_proj: "gated-gelu", ...json }, (f) => {
      const c = readT5(f, false);
      return { ...c, tied: false, biasPerLayer: true, scaled: true };
    }),
};
