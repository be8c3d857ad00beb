import { readGemma, refuseBothSides } from "./gemma.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readWindowed } from "./parts/decoder_config.js";

/** Null means no cap; where the field is absent, the fallback. */
export function readCap(f: Fields, key: string, fallback: number | undefined): number | undefined {
  const none = f.json[key] === null || (fallback === undefined && !f.has(key));
  return none ? undefined : f.number(key, fallback);
}

/** What attention and feed-forward give is normed too, before it is added. */
export const SANDWICH_NORMS: DecoderConfig["norms"] = {
  attention: { before: "input_layernorm", after: "post_attention_layernorm" },
  feedForward: { before: "pre_feedforward_layernorm", after: "post_feedforward_layernorm" },
};

/**
 * `pattern`: every pattern-th layer has no window where the config does not say. `caps`: defaults of scores
 * and logits.
 */
export function readGemma2(
  f: Fields,
  pattern: number,
  caps?: { score: number; logit: number },
): DecoderConfig {
  const c = readGemma(f, "hidden_activation");
  const window = f.json["sliding_window"] === null ? undefined : f.count("sliding_window", 4096);
  return {
    ...c,
    norms: SANDWICH_NORMS,
    scoreScale: f.number("query_pre_attn_scalar", 256) ** -0.5,
    scoreCap: readCap(f, "attn_logit_softcapping", caps?.score),
    logitCap: readCap(f, "final_logit_softcapping", caps?.logit),
    window,
    windowed: readWindowed(f, c.layers, (i) => (i + 1) % pattern !== 0),
  };
}

/** Reference: transformers/models/gemma2 */
export const gemma2: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["gemma2"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  roles: {
    targets: ["q_proj", "v_proj"],
    norms: [
      "input_layernorm",
      "post_attention_layernorm",
      "pre_feedforward_layernorm",
      "post_feedforward_layernorm",
      "norm",
    ],
    scaled: { targets: ["q_proj", "v_proj", "down_proj"], feedforward: ["down_proj"] },
  },
  parse: (json) =>
    readConfig(json, (f) => {
      refuseBothSides(f);
      return readGemma2(f, 2, { score: 50, logit: 30 });
    }),
};
