import { activate } from "../graph/activations.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { readBert, withTypes } from "./bert.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { classify, pool } from "./parts/encoder_heads.js";
import { meet, repeat } from "./parts/layers.js";
import type { Rope, RotaryTables } from "./parts/rotary.js";
import { pairs, readRope, rotaryTables, rotate } from "./parts/rotary.js";

/** BERT with rotary positions and a gated feed-forward. */
export interface RotaryBertConfig extends BertConfig {
  readonly rope: Rope;
  /** Of q, k, v and the output; and of the feed-forward's last layer. */
  readonly attentionBias: boolean;
  readonly downBias: boolean;
  /** Of what the feed-forward's last layer reads. */
  readonly innerDropout: number;
}

/** @param theta - default base of the rope */
export function readRotaryBert(f: Fields, theta: number, tokenTypes: number): RotaryBertConfig {
  const c = readBert(f, tokenTypes);
  const headDim = f.size("head_dim", c.headDim);
  return {
    ...c,
    headDim: pairs(f, headDim, headDim),
    cache: { ...c.cache, headDim },
    rope: readRope(f, theta),
    attentionBias: false,
    downBias: false,
    innerDropout: 0,
  };
}

type Shared = RotaryTables & { bias: Tensor };

/** ids -> [batch, virtual + seq, hidden] */
export function rotaryBertStack(w: Module, c: RotaryBertConfig, x: TextInputs): StackOutput {
  const at = w.at("embeddings");
  const words = w.trace.prepend(at.embedding("word_embeddings", x.ids, c.vocabSize, c.hiddenSize));
  const normed = at.layerNorm("LayerNorm", w.pack(withTypes(at, c, x, words)), c.eps);
  const embedded = at.dropout("dropout", normed, c.dropout);
  const shared = { bias: paddingBias(w.g, x.mask), ...rotaryTables(w.g, x.positions, c.rope, c.headDim) };
  return repeat(w.at("layers"), c.layers, embedded, x.past, shared, (w, x, s, past) => {
    const attended = attention(w.at("self_attn"), c, x, s, past);
    const a = w.dropout("post_attention_dropout", attended.x, c.dropout);
    const h = meet(w, "attention", a, x, { norm: (x) => w.layerNorm("post_attention_layernorm", x, c.eps) });
    const y = w.dropout("post_mlp_dropout", feedForward(w.at("mlp"), c, h), c.dropout);
    const out = meet(w, "feedForward", y, h, { norm: (x) => w.layerNorm("post_mlp_layernorm", x, c.eps) });
    return { x: out, present: attended.present };
  });
}

function attention(
  w: Module,
  c: RotaryBertConfig,
  x: Tensor,
  { bias, cos, sin }: Shared,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const options = { bias: c.attentionBias };
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(name, x, c.heads * c.headDim, options), c.heads, c.headDim);
  const turned = (name: string): Tensor => rotate(w.g, project(name), { cos, sin });
  const q = turned("q_proj");
  const present = withPast(w.g, { k: turned("k_proj"), v: project("v_proj") }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: w.output(w.linear("o_proj", mixed, c.hiddenSize, options)), present };
}

function feedForward(w: Module, c: RotaryBertConfig, x: Tensor): Tensor {
  const linear = (name: string): Tensor => w.linear(name, x, c.inter, { bias: false });
  const inner = w.g.mul(activate(w.g, c.activation, linear("gate_proj")), linear("up_proj"));
  const dropped = w.dropout("dropout", inner, c.innerDropout);
  return w.output(w.linear("down_proj", dropped, c.hiddenSize, { bias: c.downBias }));
}

/** Sizes of nomic-embed-text, whose first config.json has them under other names. */
const DEFAULTS = {
  vocab_size: 30528,
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  hidden_act: "silu",
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
};

/** Reference: transformers/models/nomic_bert */
export const nomicBert: Architecture<RotaryBertConfig> = {
  modelTypes: ["nomic_bert"],
  defaultTokens: { pad_token_id: 0 },
  prefix: "nomic_bert",
  roles: { targets: undefined, registered: ["mlp", "self_attn"] },
  parse: (json) =>
    readConfig({ ...DEFAULTS, ...json }, (f) => readRotaryBert(f, 1000, f.size("type_vocab_size", 2))),
  checkpoint: {
    split: [
      [/\battn\.Wqkv\.(weight|bias)$/, ["self_attn.q_proj.$1", "self_attn.k_proj.$1", "self_attn.v_proj.$1"]],
    ],
    rename: [
      [/^bert\./, "nomic_bert."],
      [/\bencoder\.layers\./, "layers."],
      [/\bemb_ln\./, "embeddings.LayerNorm."],
      [/\battn\.out_proj\./, "self_attn.o_proj."],
      [/\bmlp\.fc11\./, "mlp.up_proj."],
      [/\bmlp\.fc12\./, "mlp.gate_proj."],
      [/\bmlp\.fc2\./, "mlp.down_proj."],
      [/\bnorm1\./, "post_attention_layernorm."],
      [/\bnorm2\./, "post_mlp_layernorm."],
    ],
  },
  stack: rotaryBertStack,
  heads: {
    rowLabels: (w, c, hidden) => classify(w, c, pool(w.at("nomic_bert.pooler"), c, hidden)),
    tokenLabels: classify,
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["classifier", "pooler"],
};
