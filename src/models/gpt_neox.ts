import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, splitFused, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";
import { meet, repeat } from "./parts/layers.js";
import type { CausalRotary, Rope } from "./parts/rotary.js";
import { causalRotary, readRope, readTurned, rotate, wholePairs } from "./parts/rotary.js";

export interface GptNeoxConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly attentionBias: boolean;
  /** Attention and feed-forward both read the layer's input. */
  readonly parallel: boolean;
  readonly rope: Rope;
  /** Channels of a head that positions turn: the first ones, and one more where they are odd. */
  readonly turned: number;
  readonly dropout: number;
  readonly attentionDropout: number;
}

function read(f: Fields): GptNeoxConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size"),
    layers: f.layers("num_hidden_layers"),
    heads: f.size("num_attention_heads"),
  });
  const turned = wholePairs(f, readTurned(f, sizes.headDim, "rotary_pct", 0.25), sizes.headDim);
  return {
    ...commonFields(f),
    ...sizes,
    tied: f.flag("tie_word_embeddings", false),
    inter: f.size("intermediate_size"),
    activation: f.choice("hidden_act", activationNames, "gelu"),
    eps: f.number("layer_norm_eps", 1e-5),
    attentionBias: f.flag("attention_bias", true),
    parallel: f.flag("use_parallel_residual", true),
    rope: readRope(f, f.number("rotary_emb_base", 10000)),
    turned,
    dropout: f.rate("hidden_dropout", 0),
    attentionDropout: f.rate("attention_dropout", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: GptNeoxConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("embed_in", x.ids, c.vocabSize, c.hiddenSize));
  const shared = causalRotary(g, x, dimAt(words.shape, 1), c.rope, c.turned);
  const { hidden, present } = repeat(
    w.at("layers"),
    c.layers,
    w.dropout("emb_dropout", w.pack(words), c.dropout),
    x.past,
    shared,
    (w, x, s, past) => {
      const attended = attention(w.at("attention"), c, w.layerNorm("input_layernorm", x, c.eps), s, past);
      const a = w.dropout("post_attention_dropout", attended.x, c.dropout);
      const h = meet(w, "attention", a, x);
      const normed = w.layerNorm("post_attention_layernorm", c.parallel ? x : h, c.eps);
      const y = w.dropout("post_mlp_dropout", feedForward(w.at("mlp"), c, normed), c.dropout);
      const sum = (y: Tensor): Tensor => g.add(h, y);
      const out = meet(w, "feedForward", y, c.parallel ? x : h, { sum });
      return { x: out, present: attended.present };
    },
  );
  return { hidden: w.layerNorm("final_layer_norm", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: GptNeoxConfig,
  x: Tensor,
  { bias, ...tables }: CausalRotary,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const options = { bias: c.attentionBias };
  const fused = w.linear("query_key_value", x, 3 * c.hiddenSize, options);
  const { q, k, v } = splitFused(w, fused, c.heads, c.headDim);
  const present = withPast(w.g, { k: rotate(w.g, k, tables), v }, past);
  const scale = c.headDim ** -0.5;
  const mixed = attend(w, rotate(w.g, q, tables), present, { scale, bias, dropout: c.attentionDropout });
  return { x: w.output(w.linear("dense", mixed, c.hiddenSize, options)), present };
}

function feedForward(w: Module, c: GptNeoxConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("dense_h_to_4h", x, c.inter));
  return w.output(w.linear("dense_4h_to_h", inner, c.hiddenSize));
}

/** Its head is called embed_out in checkpoints. Reference: transformers/models/gpt_neox */
export const gptNeox: Architecture<GptNeoxConfig> = {
  modelTypes: ["gpt_neox"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 2 },
  prefix: "gpt_neox",
  roles: {
    targets: ["query_key_value"],
    scaled: { targets: ["query_key_value", "dense_4h_to_h"], feedforward: ["dense_4h_to_h"] },
  },
  parse: (json) => readConfig(json, read),
  checkpoint: { rename: [[/^embed_out\.weight$/, "lm_head.weight"]] },
  tie: ["lm_head.weight", "gpt_neox.embed_in.weight"],
  stack,
  heads: decoderHeads("gpt_neox.embed_in.weight"),
  newModules: ["score"],
};
