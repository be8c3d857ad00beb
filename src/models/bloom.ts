import { activate } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { alibi } from "./parts/alibi.js";
import { attend, causalBias, splitFused, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";
import { meet, repeat } from "./parts/layers.js";

export interface BloomConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly eps: number;
  /** What is added to is the norm's output instead of its input. */
  readonly addToNormed: boolean;
  readonly dropout: number;
  readonly attentionDropout: number;
}

function read(f: Fields): BloomConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size(f.has("n_embed") ? "n_embed" : "hidden_size"),
    layers: f.layers(f.has("n_layer") ? "n_layer" : "num_hidden_layers"),
    heads: f.size(f.has("n_head") ? "n_head" : "num_attention_heads"),
  });
  return {
    ...commonFields(f),
    ...sizes,
    tied: f.flag("tie_word_embeddings", true),
    eps: f.number("layer_norm_epsilon", 1e-5),
    addToNormed: f.flag("apply_residual_connection_post_layernorm", false),
    dropout: f.rate("hidden_dropout", 0),
    attentionDropout: f.rate("attention_dropout", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: BloomConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("word_embeddings", x.ids, c.vocabSize, c.hiddenSize));
  const bias = g.add(causalBias(g, x.mask, dimAt(words.shape, 1)), alibi(g, x.mask, c.heads));
  const { hidden, present } = repeat(
    w.at("h"),
    c.layers,
    w.layerNorm("word_embeddings_layernorm", w.pack(words), c.eps),
    x.past,
    { bias },
    (w, x, s, past) => {
      const normed = w.layerNorm("input_layernorm", x, c.eps);
      const attended = attention(w.at("self_attention"), c, normed, s.bias, past);
      const h = meet(w, "attention", attended.x, c.addToNormed ? normed : x);
      const inner = w.layerNorm("post_attention_layernorm", h, c.eps);
      const y = feedForward(w.at("mlp"), c, inner);
      const out = meet(w, "feedForward", y, c.addToNormed ? inner : h);
      return { x: out, present: attended.present };
    },
  );
  return { hidden: w.layerNorm("ln_f", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: BloomConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const { q, k, v } = splitFused(w, w.linear("query_key_value", x, 3 * c.hiddenSize), c.heads, c.headDim);
  const present = withPast(w.g, { k, v }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  const y = w.dropout("dropout", w.linear("dense", mixed, c.hiddenSize), c.dropout);
  return { x: w.output(y), present };
}

function feedForward(w: Module, c: BloomConfig, x: Tensor): Tensor {
  const inner = activate(w.g, "gelu_new", w.linear("dense_h_to_4h", x, 4 * c.hiddenSize));
  const y = w.linear("dense_4h_to_h", inner, c.hiddenSize);
  return w.output(w.dropout("dropout", y, c.dropout));
}

/** Reference: transformers/models/bloom */
export const bloom: Architecture<BloomConfig> = {
  modelTypes: ["bloom"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2 },
  prefix: "transformer",
  roles: {
    targets: ["query_key_value"],
    norms: ["input_layernorm", "post_attention_layernorm", "ln_f"],
    scaled: { targets: ["query_key_value", "mlp.dense_4h_to_h"], feedforward: ["mlp.dense_4h_to_h"] },
  },
  parse: (json) => readConfig(json, read),
  tie: ["lm_head.weight", "transformer.word_embeddings.weight"],
  stack,
  heads: decoderHeads("transformer.word_embeddings.weight"),
  newModules: ["score"],
};
