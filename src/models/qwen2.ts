import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder, readWindowed } from "./parts/decoder_config.js";

/**
 * Which layers have a sliding window: as `layer_types` says, or all from `max_window_layers` on; none where
 * it is off.
 */
export function readWindow(f: Fields, layers: number): Pick<DecoderConfig, "window" | "windowed"> {
  const off = !f.flag("use_sliding_window", false) || f.json["sliding_window"] === null;
  const window = off ? undefined : f.count("sliding_window", 4096);
  const first = f.number("max_window_layers", 28);
  const windowed = readWindowed(f, layers, (i) => window !== undefined && i >= first);
  if (window === undefined && windowed.includes(true))
    f.fault(`"layer_types" names layers with a sliding window, and there is no window`);
  return { window, windowed };
}

/** Llama with biases on queries, keys and values. Reference: transformers/models/qwen2 */
export const qwen2: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["qwen2"],
  defaultTokens: {},
  roles: {
    targets: ["q_proj", "v_proj"],
    norms: ["post_attention_layernorm"],
    scaled: { targets: ["q_proj", "v_proj", "down_proj"], feedforward: ["down_proj"] },
  },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f);
      return { ...c, ...readWindow(f, c.layers), qkvBias: true, outBias: false, mlpBias: false };
    }),
};
