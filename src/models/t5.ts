import { internal } from "../errors.js";
import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Layout, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, DecoderInputs, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, causalBias, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, MOST, readConfig } from "./parts/config.js";
import { repeat } from "./parts/layers.js";
import { relativeBias, relativeBuckets } from "./parts/relative.js";

export interface T5Config extends ModelConfig {
  readonly decoderLayers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  /** wi_0 and wi_1 instead of wi. */
  readonly gated: boolean;
  readonly eps: number;
  readonly dropout: number;
  readonly buckets: number;
  readonly maxDistance: number;
  /** Each layer has a table of distances of its own, else the first one's serves all. */
  readonly biasPerLayer: boolean;
  /** The decoder's output is scaled by hidden^-0.5 before the head. */
  readonly scaled: boolean;
}

/** The fields that every T5 has. `scaled`: this family scales the decoder's output where it is tied. */
export function readT5(f: Fields, scaled: boolean): T5Config {
  const layers = f.layers("num_layers");
  const decoderLayers = f.layers("num_decoder_layers", layers);
  const heads = f.size("num_heads");
  const headDim = f.size("d_kv");
  const flag = f.flag("tie_word_embeddings", true);
  // transformers 5 writes v1.1 models as tied but unscaled; their head is their own.
  const tied = scaled ? f.flag("scale_decoder_outputs", flag) && flag : flag;
  return {
    ...commonFields(f),
    ...readFeedForward(f),
    hiddenSize: f.size("d_model"),
    encoderDecoder: true,
    cache: { layers: decoderLayers, kvHeads: heads, headDim },
    tied,
    layers,
    decoderLayers,
    heads,
    headDim,
    inter: f.size("d_ff"),
    eps: f.number("layer_norm_epsilon", 1e-6),
    dropout: f.rate("dropout_rate", 0.1),
    buckets: f.size("relative_attention_num_buckets", 32, MOST.table),
    maxDistance: f.size("relative_attention_max_distance", 128, MOST.table),
    biasPerLayer: false,
    scaled: scaled && f.flag("scale_decoder_outputs", tied),
  };
}

function readFeedForward(f: Fields): { activation: Activation; gated: boolean } {
  const forms = activationNames.flatMap((name) => [name, `gated-${name}`] as const);
  const form = f.choice("feed_forward_proj", forms, "relu");
  const gated = form.startsWith("gated-");
  const plain = activationNames.find((name) => form === name || form === `gated-${name}`) ?? "relu";
  const activation = form === "gated-gelu" ? "gelu_new" : plain;
  return { activation: f.choice("dense_act_fn", activationNames, activation), gated };
}

/** Encoder: ids -> [batch, virtual + seq, hidden] */
export function encode(w: Module, c: T5Config, x: TextInputs): Tensor {
  const at = w.at("encoder");
  const embedded = w.trace.prepend(w.embedding("shared", x.ids, c.vocabSize, c.hiddenSize));
  const { hidden } = repeat(
    at.at("block"),
    c.layers,
    at.dropout("dropout", w.pack(embedded), c.dropout),
    undefined,
    selfShared(at, c, x, true, paddingBias(w.g, x.mask)),
    (w, x, shared) => {
      const attended = selfAttention(w.at("layer.0"), c, x, shared, undefined).x;
      return { x: feedForward(w.at("layer.1"), c, attended) };
    },
  );
  return finish(at, c, hidden);
}

/** Decoder: ids, the encoder's output -> [batch, seq, hidden], present keys and values of self-attention. */
export function decode(w: Module, c: T5Config, x: DecoderInputs, encoded: Tensor | undefined): StackOutput {
  const { g } = w;
  const at = w.at("decoder");
  const embedded = w.trace.prepend(w.embedding("shared", x.ids, c.vocabSize, c.hiddenSize));
  const shared: DecoderShared = {
    ...selfShared(at, c, x, false, causalBias(g, x.mask, dimAt(embedded.shape, 1))),
    crossBias: paddingBias(g, x.encoderMask),
    ...(encoded === undefined ? {} : { encoded }),
  };
  const { hidden, present } = repeat(
    at.at("block"),
    c.decoderLayers,
    at.dropout("dropout", w.pack(embedded), c.dropout),
    x.past,
    shared,
    (w, h, s, past, i) => {
      const self = selfAttention(w.at("layer.0"), c, h, s, past);
      const crossed = crossAttention(w.at("layer.1"), c, self.x, s, (project) => x.cross(i, project));
      return { x: feedForward(w.at("layer.2"), c, crossed), present: self.present };
    },
  );
  return { hidden: finish(at, c, hidden), present };
}

/** What is added to scores, and the buckets of distances where each layer adds its own table's rows too. */
type SelfShared = { bias: Tensor; buckets?: Tensor };

type DecoderShared = SelfShared & { crossBias: Tensor; encoded?: Tensor };

/** `mask`: what is added to scores that do not count; `w` is the place of the stack. */
function selfShared(
  w: Module,
  c: T5Config,
  x: TextInputs,
  isBidirectional: boolean,
  mask: Tensor,
): SelfShared {
  const { buckets: count, maxDistance: farthest } = c;
  const buckets = relativeBuckets(w.g, x, { buckets: count, farthest, isBidirectional });
  if (c.biasPerLayer) return { bias: mask, buckets };
  const first = w.at("block.0.layer.0.SelfAttention");
  return { bias: w.g.add(relativeBias(first, buckets, count, c.heads), mask) };
}

function finish(w: Module, c: T5Config, hidden: Tensor): Tensor {
  return w.dropout("final_dropout", w.rmsNorm("final_layer_norm", hidden, c.eps), c.dropout);
}

/** One of q, k, v: x [batch, seq, hidden] -> [batch, heads, seq, headDim] */
function project(w: Module, c: T5Config, name: "q" | "k" | "v", x: Tensor): Tensor {
  const y = w.linear(name, x, c.heads * c.headDim, { bias: false });
  return splitHeads(w, y, c.heads, c.headDim);
}

/** Scores are not divided by sqrt(headDim) in this family. */
function mix(w: Module, c: T5Config, q: Tensor, kv: KeyValue, bias: Tensor): Tensor {
  const mixed = attend(w, q, kv, { scale: 1, bias, dropout: c.dropout });
  return w.output(w.linear("o", mixed, c.hiddenSize, { bias: false }));
}

function selfAttention(
  w: Module,
  c: T5Config,
  x: Tensor,
  { bias: shared, buckets }: SelfShared,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const at = w.at("SelfAttention");
  const bias = buckets ? w.g.add(relativeBias(at, buckets, c.buckets, c.heads), shared) : shared;
  const normed = w.rmsNorm("layer_norm", x, c.eps);
  const q = project(at, c, "q", normed);
  const now = { k: project(at, c, "k", normed), v: project(at, c, "v", normed) };
  const present = withPast(w.g, now, past);
  const y = mix(at, c, q, present, bias);
  return { x: w.sublayer("attention", w.dropout("dropout", y, c.dropout), x), present };
}

function crossAttention(
  w: Module,
  c: T5Config,
  x: Tensor,
  { crossBias, encoded }: DecoderShared,
  cross: (project: (of: Layout) => KeyValue) => KeyValue,
): Tensor {
  const at = w.at("EncDecAttention");
  const q = project(at, c, "q", w.rmsNorm("layer_norm", x, c.eps));
  const kv = cross((of) => {
    if (encoded === undefined) return internal("a T5 decoder got neither encoder output nor cross keys");
    const from = at.within(of);
    return { k: project(from, c, "k", encoded), v: project(from, c, "v", encoded) };
  });
  return w.sublayer("crossAttention", w.dropout("dropout", mix(at, c, q, kv, crossBias), c.dropout), x);
}

function feedForward(w: Module, c: T5Config, x: Tensor): Tensor {
  const { g } = w;
  const at = w.at("DenseReluDense");
  const normed = w.rmsNorm("layer_norm", x, c.eps);
  const wi = (name: string): Tensor => at.linear(name, normed, c.inter, { bias: false });
  const inner = c.gated
    ? g.mul(activate(g, c.activation, wi("wi_0")), wi("wi_1"))
    : activate(g, c.activation, wi("wi"));
  const y = at.linear("wo", at.dropout("dropout", inner, c.dropout), c.hiddenSize, { bias: false });
  return w.sublayer("feedForward", w.dropout("dropout", at.output(y), c.dropout), x);
}

/** Reference: transformers/models/t5 */
export const t5: Architecture<T5Config> = {
  modelTypes: ["t5"],
  defaultTokens: { eos_token_id: 1, pad_token_id: 0 },
  prefix: "",
  roles: {
    targets: ["q", "v"],
    norms: ["layer_norm", "final_layer_norm"],
    scaled: { targets: ["k", "v", "wo"], feedforward: ["wo"] },
  },
  parse: (json) => readConfig(json, (f) => readT5(f, true)),
  checkpoint: { rename: [[/^(?:encoder|decoder)\.embed_tokens\.weight$/, "shared.weight"]] },
  tie: ["lm_head.weight", "shared.weight"],
  embeddingReaders: ["encoder.embed_tokens", "decoder.embed_tokens"],
  untied: { scale_decoder_outputs: true },
  encoder: encode,
  decoder: decode,
  heads: {
    vocabulary: (w, c, hidden) => {
      const x = c.scaled ? w.g.mul(hidden, c.hiddenSize ** -0.5) : hidden;
      const tied = c.tied ? "shared.weight" : undefined;
      return w.linear("lm_head", x, c.vocabSize, { bias: false, tied });
    },
  },
  newModules: [],
};
