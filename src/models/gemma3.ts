import { gemma2, readGemma2 } from "./gemma2.js";
import type { LlamaConfig } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { Rope } from "./parts/rotary.js";
import { scaledRope } from "./parts/rotary.js";

/** One rope per kind of layer: by their names in transformers 5, in fields of their own in transformers 4. */
function readRopes(f: Fields): { rope: Rope; windowRope: Rope } {
  const parameters = f.object("rope_parameters");
  const full = parameters?.object("full_attention");
  const near = parameters?.object("sliding_attention");
  const theta = (full?.has("rope_theta") ? full : f).number("rope_theta", 1_000_000);
  const nearTheta = near?.has("rope_theta")
    ? near.number("rope_theta")
    : f.number("rope_local_base_freq", 10_000);
  return {
    rope: scaledRope(f, full ?? f.object("rope_scaling"), theta),
    windowRope: scaledRope(f, near, nearTheta),
  };
}

/**
 * The text model of Gemma 3: Gemma 2 without caps, with norms on heads, and with two ropes.
 * Reference: transformers/models/gemma3
 */
export const gemma3: Architecture<LlamaConfig> = {
  ...gemma2,
  modelTypes: ["gemma3_text"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readGemma2(f, f.size("sliding_window_pattern", 6));
      return { ...c, ...readRopes(f), scoreCap: undefined, headNorm: true };
    }),
};
