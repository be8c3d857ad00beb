import { activate, activationNames } from "../graph/activations.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { embed, LEGACY_NORMS, readBert } from "./bert.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { MOST, readConfig } from "./parts/config.js";
import { classify, spanEnds } from "./parts/encoder_heads.js";
import { repeat } from "./parts/layers.js";
import { firstToken } from "./parts/pooling.js";

interface AlbertConfig extends BertConfig {
  /** Layers in their order, by the names of their weights, which layers share. */
  readonly order: readonly string[];
}

function read(f: Fields): AlbertConfig {
  const c = readBert(f);
  const groups = f.size("num_hidden_groups", 1, MOST.layers);
  const inner = f.size("inner_group_num", 1, MOST.layers);
  if (c.layers * inner > MOST.layers) f.fault(`${c.layers} times ${inner} layers are too many`);
  const order = Array.from({ length: c.layers * inner }, (_, i) => {
    const group = Math.floor(Math.floor(i / inner) / (c.layers / groups));
    return `albert_layer_groups.${group}.albert_layers.${i % inner}`;
  });
  return {
    ...c,
    embeddingDim: f.size("embedding_size", 128),
    activation: f.choice("hidden_act", activationNames, "gelu_new"),
    dropout: f.rate("hidden_dropout_prob", 0),
    attentionDropout: f.rate("attention_probs_dropout_prob", 0),
    classifierDropout: f.rate("classifier_dropout_prob", 0.1),
    cache: { ...c.cache, layers: order.length },
    order,
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: AlbertConfig, x: TextInputs): StackOutput {
  const at = w.at("encoder");
  const embedded = at.linear("embedding_hidden_mapping_in", embed(w.at("embeddings"), c, x), c.hiddenSize);
  const shared = { bias: paddingBias(w.g, x.mask) };
  return repeat(at, c.order, embedded, x.past, shared, (w, x, { bias }, past) => {
    const attended = attention(w.at("attention"), c, x, bias, past);
    const inner = activate(w.g, c.activation, w.linear("ffn", attended.x, c.inter));
    const y = w.linear("ffn_output", inner, c.hiddenSize);
    const norm = (x: Tensor): Tensor => w.layerNorm("full_layer_layer_norm", x, c.eps);
    return { x: w.output(w.sublayer("feedForward", y, attended.x, { norm })), present: attended.present };
  });
}

/** LayerNorm(x + dropout(dense(attention))) */
function attention(
  w: Module,
  c: AlbertConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("query");
  const present = withPast(w.g, { k: project("key"), v: project("value") }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  const y = w.dropout("output_dropout", w.linear("dense", mixed, c.hiddenSize), c.dropout);
  const norm = (x: Tensor): Tensor => w.layerNorm("LayerNorm", x, c.eps);
  return { x: w.output(w.sublayer("attention", y, x, { norm })), present };
}

/** tanh(pooler(first position)), [batch, hidden]; `w` is the bare model. */
function pool(w: Module, c: AlbertConfig, hidden: Tensor): Tensor {
  return w.g.tanh(w.linear("pooler", firstToken(w.g, hidden), c.hiddenSize));
}

/** BERT whose layers share their weights. Reference: transformers/models/albert */
export const albert: Architecture<AlbertConfig> = {
  modelTypes: ["albert"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 3, pad_token_id: 0 },
  prefix: "albert",
  roles: { targets: undefined },
  parse: (json) => readConfig(json, read),
  checkpoint: { rename: LEGACY_NORMS },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => classify(w, c, pool(w.at("albert"), c, hidden)),
    tokenLabels: classify,
    spanEnds,
    hidden: (w, c, hidden) => {
      pool(w, c, hidden); // part of the model: named and counted, though nothing reads it
      return hidden;
    },
  },
  newModules: ["classifier", "qa_outputs", "pooler"],
};
