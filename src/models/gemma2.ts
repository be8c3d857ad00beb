import { readGemma } from "./gemma.js";
import type { LlamaConfig, LlamaShared } from "./llama.js";
import { llama, llamaAttention, llamaFeedForward, llamaNorm, llamaStack } from "./llama.js";
import type { Architecture } from "./model.js";
import { cap } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { Layer } from "./parts/layers.js";
import { meet } from "./parts/layers.js";

/** Null means no cap; where the field is absent, the fallback. */
function readCap(f: Fields, key: string, fallback: number | undefined): number | undefined {
  const none = f.json[key] === null || (fallback === undefined && !f.has(key));
  return none ? undefined : f.number(key, fallback);
}

const names = ["full_attention", "sliding_attention"] as const;

/**
 * `pattern`: every pattern-th layer has no window where the config does not say. `caps`: defaults of scores
 * and logits.
 */
export function readGemma2(f: Fields, pattern: number, caps?: { score: number; logit: number }): LlamaConfig {
  const c = readGemma(f, "hidden_activation");
  const alternating = Array.from({ length: c.layers }, (_, i) => names[(i + 1) % pattern === 0 ? 0 : 1]);
  const types = f.choices("layer_types", names, c.layers, alternating);
  const window = f.json["sliding_window"] === null ? undefined : f.count("sliding_window", 4096);
  return {
    ...c,
    scoreScale: f.number("query_pre_attn_scalar", 256) ** -0.5,
    scoreCap: readCap(f, "attn_logit_softcapping", caps?.score),
    logitCap: readCap(f, "final_logit_softcapping", caps?.logit),
    window,
    windowed: types.map((type) => type === "sliding_attention"),
  };
}

/** What attention and feed-forward give is normed too, before it is added. */
const sandwichLayer =
  (c: LlamaConfig): Layer<LlamaShared> =>
  (w, x, shared, past, i) => {
    const attended = llamaAttention(w, c, llamaNorm(w, c, "input_layernorm", x), shared, past, i);
    const normed = llamaNorm(w, c, "post_attention_layernorm", attended.x);
    const h = meet(w, "attention", normed, x);
    const y = llamaFeedForward(w, c, llamaNorm(w, c, "pre_feedforward_layernorm", h));
    const out = llamaNorm(w, c, "post_feedforward_layernorm", y);
    return { x: meet(w, "feedForward", out, h), present: attended.present };
  };

/** Reference: transformers/models/gemma2 */
export const gemma2: Architecture<LlamaConfig> = {
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
  parse: (json) => readConfig(json, (f) => readGemma2(f, 2, { score: 50, logit: 30 })),
  stack: llamaStack(sandwichLayer),
  heads: {
    ...llama.heads,
    vocabulary: (w, c, hidden) => {
      const logits = llama.heads.vocabulary!(w, c, hidden);
      return c.logitCap === undefined ? logits : cap(w.g, logits, c.logitCap);
    },
  },
};
