import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import type { Dim } from "../graph/dims.js";
import { axes, dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { alibi } from "./parts/alibi.js";
import { attend, causalBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { checkGroups, commonFields, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads, tokenHeads } from "./parts/decoder_heads.js";
import { meet, repeat } from "./parts/layers.js";
import type { Rope } from "./parts/rotary.js";
import { causalRotary, pairs, readRope, rotate } from "./parts/rotary.js";

export interface FalconConfig extends ModelConfig {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly bias: boolean;
  /** Attention and feed-forward both read the layer's input. */
  readonly parallel: boolean;
  /** Each through a norm of its own: ln_attn and ln_mlp. */
  readonly twoNorms: boolean;
  /** undefined: scores gain with the number of a key (ALiBi). */
  readonly rope: Rope | undefined;
  readonly dropout: number;
  readonly classifierDropout: number;
  /** Of what attention gives, where feed-forward comes after it. */
  readonly attentionDropout: number;
}

function read(f: Fields): FalconConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size(f.has("n_embed") ? "n_embed" : "hidden_size"),
    layers: f.layers(f.has("n_layer") ? "n_layer" : "num_hidden_layers"),
    heads: f.size(f.has("n_head") ? "n_head" : "num_attention_heads"),
  });
  const isAlibi = f.flag("alibi", false);
  const grouped = f.flag("new_decoder_architecture", false);
  const kvHeads = grouped
    ? f.size("num_kv_heads", sizes.heads)
    : f.flag("multi_query", true)
      ? 1
      : sizes.heads;
  checkGroups(f, sizes.heads, kvHeads);
  if (!isAlibi) pairs(f, sizes.headDim, sizes.headDim);
  return {
    ...commonFields(f),
    ...sizes,
    cache: { ...sizes.cache, kvHeads },
    kvHeads,
    tied: f.flag("tie_word_embeddings", true),
    inter: f.size("ffn_hidden_size", 4 * sizes.hiddenSize),
    activation: f.choice("activation", activationNames, "gelu"),
    eps: f.number("layer_norm_epsilon", 1e-5),
    bias: f.flag("bias", false),
    parallel: grouped || f.flag("parallel_attn", true),
    twoNorms: grouped && f.number("num_ln_in_parallel_attn", 2) === 2,
    rope: isAlibi ? undefined : readRope(f),
    dropout: f.rate("hidden_dropout", 0),
    classifierDropout: f.rate("classifier_dropout", f.rate("hidden_dropout", 0)),
    attentionDropout: f.rate("attention_dropout", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: FalconConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("word_embeddings", x.ids, c.vocabSize, c.hiddenSize));
  const shared = sharedOf(g, c, x, dimAt(words.shape, 1));
  const { hidden, present } = repeat(w.at("h"), c.layers, w.pack(words), x.past, shared, (w, x, s, past) => {
    const normed = w.layerNorm(c.twoNorms ? "ln_attn" : "input_layernorm", x, c.eps);
    const attended = attention(w.at("self_attention"), c, normed, s, past);
    const y = c.parallel ? beside(w, c, x, normed, attended.x) : after(w, c, x, attended.x);
    return { x: y, present: attended.present };
  });
  return { hidden: w.layerNorm("ln_f", hidden, c.eps), present };
}

type Shared = { bias: Tensor; cos?: Tensor; sin?: Tensor };

function sharedOf(g: Graph, c: FalconConfig, x: TextInputs, length: Dim): Shared {
  if (c.rope !== undefined) return causalRotary(g, x, length, c.rope, c.headDim);
  const gain = g.mul(alibi(g, x.mask, c.heads, "bf16"), c.headDim ** -0.5);
  return { bias: g.add(causalBias(g, x.mask, length), gain) };
}

/** x + dropout(mlp(normed) + attended) */
function beside(w: Module, c: FalconConfig, x: Tensor, normed: Tensor, attended: Tensor): Tensor {
  const { g } = w;
  const y = feedForward(w.at("mlp"), c, c.twoNorms ? w.layerNorm("ln_mlp", x, c.eps) : normed);
  const a = meet(w, "attention", attended, x, { sum: (a) => a });
  const sum = (y: Tensor): Tensor => g.add(x, w.dropout("dropout", g.add(y, a), c.dropout));
  return meet(w, "feedForward", y, x, { sum });
}

/** h + dropout(mlp(norm(h))) with h = x + dropout(attended) */
function after(w: Module, c: FalconConfig, x: Tensor, attended: Tensor): Tensor {
  const a = w.dropout("attention_dropout", attended, c.attentionDropout);
  const h = meet(w, "attention", a, x);
  const y = feedForward(w.at("mlp"), c, w.layerNorm("post_attention_layernorm", h, c.eps));
  return meet(w, "feedForward", w.dropout("dropout", y, c.dropout), h);
}

/** Scores have no dropout here, whatever the config says. */
function attention(
  w: Module,
  c: FalconConfig,
  x: Tensor,
  { bias, cos, sin }: Shared,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const { g } = w;
  const { q, k, v } = splitGroups(w, c, x);
  const turn = (x: Tensor): Tensor =>
    cos === undefined || sin === undefined ? x : rotate(g, x, { cos, sin });
  const present = withPast(g, { k: turn(k), v }, past);
  const mixed = attend(w, turn(q), present, { scale: c.headDim ** -0.5, bias, dropout: 0 });
  return { x: w.output(w.linear("dense", mixed, c.hiddenSize, { bias: c.bias })), present };
}

/** One layer holds, for each head of keys and values, its group of queries, then k, then v. */
function splitGroups(w: Module, c: FalconConfig, x: Tensor): KeyValue & { q: Tensor } {
  const { g } = w;
  const group = c.heads / c.kvHeads;
  const width = (group + 2) * c.headDim;
  const fused = w.linear("query_key_value", x, c.kvHeads * width, { bias: c.bias });
  const parts = splitHeads(w, fused, c.kvHeads, width); // [batch, kvHeads, seq, (group + 2) * headDim]
  const [queries, k, v] = g.split(parts, -1, [group * c.headDim, c.headDim, c.headDim]);
  const [batch, , seq] = axes(parts.shape, 4);
  const apart = g.reshape(queries, [batch, c.kvHeads, seq, group, c.headDim]);
  const q = g.reshape(g.transpose(apart, [0, 1, 3, 2, 4]), [batch, c.heads, seq, c.headDim]);
  return { q, k, v };
}

function feedForward(w: Module, c: FalconConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("dense_h_to_4h", x, c.inter, { bias: c.bias }));
  return w.output(w.linear("dense_4h_to_h", inner, c.hiddenSize, { bias: c.bias }));
}

/** The forms of 7b, 40b and 11b, and with ALiBi the rw models'. Reference: transformers/models/falcon */
export const falcon: Architecture<FalconConfig> = {
  modelTypes: ["falcon"],
  defaultTokens: { bos_token_id: 11, eos_token_id: 11 },
  prefix: "transformer",
  roles: {
    targets: ["query_key_value"],
    norms: ["input_layernorm", "post_attention_layernorm", "ln_f"],
    scaled: { targets: ["query_key_value", "dense_4h_to_h"], feedforward: ["dense_4h_to_h"] },
  },
  parse: (json) => readConfig(json, read),
  tie: ["lm_head.weight", "transformer.word_embeddings.weight"],
  stack,
  heads: { ...decoderHeads("transformer.word_embeddings.weight"), ...tokenHeads() },
  newModules: ["score", "classifier", "qa_outputs"],
};
