import type { Architecture } from "./model.js";
import type { RotaryBertConfig } from "./nomic_bert.js";
import { nomicBert, readRotaryBert, rotaryBertStack } from "./nomic_bert.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { classify, pool } from "./parts/encoder_heads.js";

function read(f: Fields): RotaryBertConfig {
  const types = f.json["type_vocab_size"] === 0 ? 0 : f.size("type_vocab_size", 1);
  const c = readRotaryBert(f, 160_000, types);
  const attentionDropout = f.rate("attention_probs_dropout_prob", 0);
  return { ...c, attentionDropout, attentionBias: true, downBias: true, innerDropout: c.dropout };
}

/** NomicBERT with biases. Reference: transformers/models/gte */
export const gte: Architecture<RotaryBertConfig> = {
  modelTypes: ["gte"],
  defaultTokens: { pad_token_id: 1 },
  prefix: "gte",
  roles: { targets: undefined, registered: ["mlp", "self_attn"] },
  parse: (json) => readConfig(json, read),
  checkpoint: {
    split: [
      [
        /\battention\.qkv_proj\.(weight|bias)$/,
        ["self_attn.q_proj.$1", "self_attn.k_proj.$1", "self_attn.v_proj.$1"],
      ],
      [/\bmlp\.up_gate_proj\.weight$/, ["mlp.up_proj.weight", "mlp.gate_proj.weight"]],
    ],
    rename: [
      [/^new\./, "gte."],
      [/\bencoder\.layer\./, "layers."],
      [/\battention\.o_proj\./, "self_attn.o_proj."],
      [/\battn_ln\./, "post_attention_layernorm."],
      [/\bmlp_ln\./, "post_mlp_layernorm."],
    ],
  },
  stack: rotaryBertStack,
  heads: {
    ...nomicBert.heads,
    rowLabels: (w, c, hidden) => classify(w, c, pool(w.at("gte.pooler"), c, hidden)),
  },
  newModules: nomicBert.newModules,
};
