import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import type { KeyValue, Module, SublayerSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import type { EncoderConfig } from "./parts/encoder_heads.js";
import { besidePooler, classify, pool, spanEnds } from "./parts/encoder_heads.js";
import { repeat } from "./parts/layers.js";

export interface BertConfig extends EncoderConfig {
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
}

/** The fields that every relative of BERT has. */
export function readBert(
  f: Fields,
  tokenTypes: number = f.size("type_vocab_size", 2),
  positions: readonly string[] = ["absolute"],
): BertConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size"),
    layers: f.layers("num_hidden_layers"),
    heads: f.size("num_attention_heads"),
  });
  const dropout = f.rate("hidden_dropout_prob", 0.1);
  if (f.flag("is_decoder", false))
    f.unbuilt(`"is_decoder" is true, and peft.js knows this model as an encoder`);
  f.choice("position_embedding_type", positions, "absolute");
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

/** What attention and its residual make of x: `w` is the module of both. */
export type BertAttention<C, S> = (
  w: Module,
  c: C,
  x: Tensor,
  shared: S,
  past: KeyValue | undefined,
  index: number,
) => { readonly x: Tensor; readonly present: KeyValue };

/** ids -> [batch, virtual + seq, hidden] */
type Stack<C, X = TextInputs> = (w: Module, c: C, x: X) => StackOutput;

/** Embeddings of tokens, normed: `w` is their module. */
type Embed<C, X> = (w: Module, c: C, x: X) => Tensor;

/** The stack whose layers read `share` and attend by `attention`. */
export function bertStackOf<
  C extends BertConfig,
  S extends Record<string, Tensor>,
  X extends TextInputs = TextInputs,
>(
  share: (w: Module, c: C, x: X) => S,
  attention: BertAttention<C, S>,
  embedded: Embed<C, X> = embed,
): Stack<C, X> {
  return (w, c, x) => {
    const narrow = embedded(w.at("embeddings"), c, x);
    const wide =
      c.embeddingDim === c.hiddenSize ? narrow : w.linear("embeddings_project", narrow, c.hiddenSize);
    const at = w.at("encoder.layer");
    return repeat(at, c.layers, wide, x.past, share(w, c, x), (w, x, s, past, i) => {
      const attended = attention(w.at("attention"), c, x, s, past, i);
      const inner = activate(w.g, c.activation, w.linear("intermediate.dense", attended.x, c.inter));
      return {
        x: addAndNorm(w.at("output"), "feedForward", c, inner, attended.x),
        present: attended.present,
      };
    });
  };
}

/** word, type and position, and what a model adds to them, normed: [batch, virtual + seq, embeddingDim] */
export function embed(w: Module, c: BertConfig, x: TextInputs, beside?: Tensor): Tensor {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("word_embeddings", x.ids, c.vocabSize, c.embeddingDim));
  const limit = c.maxPositions - c.firstPosition;
  const positions = w.embedding("position_embeddings", x.positions, c.maxPositions, c.embeddingDim, limit);
  const sum = g.add(withTypes(w, c, x, words), positions);
  const whole = w.pack(beside === undefined ? sum : g.add(sum, beside));
  return w.dropout("dropout", w.layerNorm("LayerNorm", whole, c.eps), c.dropout);
}

/** x + the embeddings of token types, where the model has any. */
export function withTypes(
  w: Module,
  c: { readonly tokenTypes: number; readonly embeddingDim: number },
  { typeIds }: TextInputs,
  x: Tensor,
): Tensor {
  if (c.tokenTypes === 0) return x;
  const ids = typeIds ?? w.g.constant([0], [1, 1], "i64");
  return w.g.add(x, w.embedding("token_type_embeddings", ids, c.tokenTypes, c.embeddingDim));
}

export const bertAttention: BertAttention<BertConfig, { bias: Tensor }> = (w, c, x, { bias }, past) => {
  const at = w.at("self");
  const project = (name: string): Tensor =>
    splitHeads(w, at.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("query");
  const present = withPast(w.g, { k: project("key"), v: project("value") }, past);
  const mixed = attend(at, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: addAndNorm(w.at("output"), "attention", c, at.output(mixed), x), present };
};

export const bertStack: Stack<BertConfig> = bertStackOf<BertConfig, { bias: Tensor }>(
  (w, _c, x) => ({ bias: paddingBias(w.g, x.mask) }),
  bertAttention,
);

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

/** Names of norms' weights in the first checkpoints. */
export const LEGACY_NORMS: readonly (readonly [RegExp, string])[] = [
  [/\.LayerNorm\.gamma$/, ".LayerNorm.weight"],
  [/\.LayerNorm\.beta$/, ".LayerNorm.bias"],
];

/** Reference: transformers/models/bert */
export const bert: Architecture<BertConfig> = {
  modelTypes: ["bert"],
  prefix: "bert",
  roles: {
    targets: ["query", "value"],
    scaled: { targets: ["key", "value", "output.dense"], feedforward: ["output.dense"] },
  },
  parse: (json) => readConfig(json, readBert),
  checkpoint: { rename: LEGACY_NORMS },
  stack: bertStack,
  heads: {
    rowLabels: (w, c, hidden) => classify(w, c, pool(w.at("bert.pooler"), c, hidden)),
    tokenLabels: classify,
    spanEnds,
    hidden: besidePooler,
  },
  newModules: ["classifier", "qa_outputs", "pooler"],
};
