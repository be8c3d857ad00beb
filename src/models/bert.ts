import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import type { KeyValue, Module, SublayerSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { repeat } from "./parts/layers.js";
import { firstToken } from "./parts/pooling.js";

export interface BertConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  /** Width of the embeddings; where it is not the hidden size, embeddings_project stands between. */
  readonly embeddingDim: number;
  readonly activation: Activation;
  readonly eps: number;
  /** Rows of the table of positions, and which one is the first token's. */
  readonly maxPositions: number;
  readonly firstPosition: number;
  readonly tokenTypes: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly classifierDropout: number;
}

/** The fields that every relative of BERT has. */
export function readBert(f: Fields, tokenTypes: number = f.size("type_vocab_size", 2)): BertConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size"),
    layers: f.layers("num_hidden_layers"),
    heads: f.size("num_attention_heads"),
  });
  const dropout = f.rate("hidden_dropout_prob", 0.1);
  if (f.flag("is_decoder", false))
    f.unbuilt(`"is_decoder" is true, and peft.js knows this model as an encoder`);
  f.choice("position_embedding_type", ["absolute"], "absolute");
  return {
    ...commonFields(f),
    ...sizes,
    tied: false,
    inter: f.size("intermediate_size"),
    embeddingDim: sizes.hiddenSize,
    activation: f.choice("hidden_act", activationNames, "gelu"),
    eps: f.number("layer_norm_eps", 1e-12),
    maxPositions: f.count("max_position_embeddings", 512),
    firstPosition: 0,
    tokenTypes,
    dropout,
    attentionDropout: f.rate("attention_probs_dropout_prob", 0.1),
    classifierDropout: f.rate("classifier_dropout", dropout),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
export function bertStack(w: Module, c: BertConfig, x: TextInputs): StackOutput {
  const shared = { bias: paddingBias(w.g, x.mask) };
  const embedded = embed(w.at("embeddings"), c, x);
  return repeat(
    w.at("encoder.layer"),
    c.layers,
    c.embeddingDim === c.hiddenSize ? embedded : w.linear("embeddings_project", embedded, c.hiddenSize),
    x.past,
    shared,
    (w, x, s, past) => {
      const attended = attention(w.at("attention"), c, x, s.bias, past);
      const inner = w.linear("intermediate.dense", attended.x, c.inter);
      return {
        x: addAndNorm(w.at("output"), "feedForward", c, activate(w.g, c.activation, inner), attended.x),
        present: attended.present,
      };
    },
  );
}

function embed(w: Module, c: BertConfig, x: TextInputs): Tensor {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("word_embeddings", x.ids, c.vocabSize, c.embeddingDim));
  const typeIds = x.typeIds ?? g.constant([0], [1, 1], "i64");
  const limit = c.maxPositions - c.firstPosition;
  const positions = w.embedding("position_embeddings", x.positions, c.maxPositions, c.embeddingDim, limit);
  const types = w.embedding("token_type_embeddings", typeIds, c.tokenTypes, c.embeddingDim);
  const sum = w.pack(g.add(g.add(words, types), positions));
  return w.dropout("dropout", w.layerNorm("LayerNorm", sum, c.eps), c.dropout);
}

function attention(
  w: Module,
  c: BertConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const at = w.at("self");
  const project = (name: string): Tensor =>
    splitHeads(w, at.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("query");
  const present = withPast(w.g, { k: project("key"), v: project("value") }, past);
  const mixed = attend(at, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: addAndNorm(w.at("output"), "attention", c, at.output(mixed), x), present };
}

/** LayerNorm(x + dropout(dense(y))) */
export function addAndNorm(
  w: Module,
  does: SublayerSite["does"],
  c: BertConfig,
  y: Tensor,
  x: Tensor,
): Tensor {
  const dense = w.dropout("dropout", w.linear("dense", y, c.hiddenSize), c.dropout);
  const sum = (h: Tensor): Tensor => w.g.add(h, x);
  const norm = (x: Tensor): Tensor => w.layerNorm("LayerNorm", x, c.eps);
  return w.output(w.sublayer(does, dense, x, { sum, norm }));
}

/** hidden [batch, length, hidden] -> tanh(dense(first position)), [batch, hidden] */
function pool(w: Module, c: BertConfig, hidden: Tensor): Tensor {
  return w.output(w.g.tanh(w.linear("dense", firstToken(w.g, hidden), c.hiddenSize)));
}

function classify(w: Module, c: BertConfig, x: Tensor): Tensor {
  return w.linear("classifier", w.dropout("dropout", x, c.classifierDropout), c.numLabels);
}

/** Reference: transformers/models/bert */
export const bert: Architecture<BertConfig> = {
  modelTypes: ["bert"],
  prefix: "bert",
  roles: {
    targets: ["query", "value"],
    scaled: { targets: ["key", "value", "output.dense"], feedforward: ["output.dense"] },
  },
  parse: (json) => readConfig(json, readBert),
  checkpoint: {
    rename: [
      [/\.LayerNorm\.gamma$/, ".LayerNorm.weight"],
      [/\.LayerNorm\.beta$/, ".LayerNorm.bias"],
    ],
  },
  stack: bertStack,
  heads: {
    rowLabels: (w, c, hidden) => classify(w, c, pool(w.at("bert.pooler"), c, hidden)),
    tokenLabels: classify,
    spanEnds: (w, _c, hidden) => w.linear("qa_outputs", hidden, 2),
    hidden: (w, c, hidden) => {
      pool(w.at("pooler"), c, hidden); // part of the model: named and counted, though nothing reads it
      return hidden;
    },
  },
  newModules: ["classifier", "qa_outputs", "pooler"],
};
