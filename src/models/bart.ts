import { internal } from "../errors.js";
import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Layout, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, DecoderInputs, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, causalBias, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { meet, repeat } from "./parts/layers.js";

/** What may differ between the two stacks. */
interface BartStack {
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
}

export interface BartConfig extends ModelConfig {
  readonly encoder: BartStack;
  readonly decoder: BartStack;
  readonly activation: Activation;
  readonly maxPositions: number;
  /** What embeddings are multiplied by. */
  readonly embeddingScale: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly activationDropout: number;
}

/** The table of positions begins with rows for padding. */
const OFFSET = 2;
const EPS = 1e-5;

function readStack(f: Fields, name: "encoder" | "decoder", hiddenSize: number): BartStack {
  const layers = f.layers(`${name}_layers`, 12);
  const heads = f.size(`${name}_attention_heads`, 16);
  const { headDim } = stackSizes(f, { hiddenSize, layers, heads });
  if (f.rate(`${name}_layerdrop`, 0) > 0)
    f.unbuilt(`"${name}_layerdrop" is not 0, and peft.js leaves no layer out`);
  return { layers, heads, headDim, inter: f.size(`${name}_ffn_dim`, 4096) };
}

function read(f: Fields): BartConfig {
  const hiddenSize = f.size("d_model");
  const encoder = readStack(f, "encoder", hiddenSize);
  const decoder = readStack(f, "decoder", hiddenSize);
  return {
    ...commonFields(f),
    initializerRange: f.number("init_std", 0.02),
    hiddenSize,
    layers: encoder.layers,
    encoderDecoder: true,
    cache: { layers: decoder.layers, kvHeads: decoder.heads, headDim: decoder.headDim },
    tied: f.flag("tie_word_embeddings", true),
    encoder,
    decoder,
    activation: f.choice("activation_function", activationNames, "gelu"),
    maxPositions: f.count("max_position_embeddings", 1024),
    embeddingScale: f.flag("scale_embedding", false) ? hiddenSize ** 0.5 : 1,
    dropout: f.rate("dropout", 0.1),
    attentionDropout: f.rate("attention_dropout", 0),
    activationDropout: f.rate("activation_dropout", 0),
  };
}

/** LayerNorm(words + positions): [batch, virtual + seq, hidden]; `w` is the place of one stack. */
function embed(w: Module, c: BartConfig, x: TextInputs, words: Tensor): Tensor {
  const { g } = w;
  const rows = c.maxPositions + OFFSET;
  const places = g.add(x.positions, g.scalar(OFFSET, "i64"));
  const positions = w.embedding("embed_positions", places, rows, c.hiddenSize, c.maxPositions);
  const sum = w.pack(g.add(words, positions));
  return w.dropout("dropout", w.layerNorm("layernorm_embedding", sum, EPS), c.dropout);
}

function embedWords(w: Module, c: BartConfig, ids: Tensor): Tensor {
  const words = w.embedding("shared", ids, c.vocabSize, c.hiddenSize);
  return c.embeddingScale === 1 ? words : w.g.mul(words, c.embeddingScale);
}

/** ids -> [batch, virtual + seq, hidden] */
function encode(w: Module, c: BartConfig, x: TextInputs): Tensor {
  const at = w.at("encoder");
  const embedded = embed(at, c, x, w.trace.prepend(embedWords(w, c, x.ids)));
  const shared = { bias: paddingBias(w.g, x.mask) };
  const { hidden } = repeat(
    at.at("layers"),
    c.encoder.layers,
    embedded,
    undefined,
    shared,
    (w, x, { bias }) => {
      const attended = selfAttention(w, c, c.encoder, x, bias, undefined).x;
      return { x: feedForward(w, c, c.encoder, attended) };
    },
  );
  return hidden;
}

type DecoderShared = { bias: Tensor; crossBias: Tensor; encoded?: Tensor };

/** ids, the encoder's output -> [batch, seq, hidden], present keys and values of self-attention. */
function decode(w: Module, c: BartConfig, x: DecoderInputs, encoded: Tensor | undefined): StackOutput {
  const at = w.at("decoder");
  const words = embedWords(w, c, x.ids);
  const shared: DecoderShared = {
    bias: causalBias(w.g, x.mask, dimAt(words.shape, 1)),
    crossBias: paddingBias(w.g, x.encoderMask),
    ...(encoded === undefined ? {} : { encoded }),
  };
  return repeat(
    at.at("layers"),
    c.decoder.layers,
    embed(at, c, x, words),
    x.past,
    shared,
    (w, h, s, past, i) => {
      const self = selfAttention(w, c, c.decoder, h, s.bias, past);
      const crossed = crossAttention(w, c, self.x, s, (project) => x.cross(i, project));
      return { x: feedForward(w, c, c.decoder, crossed), present: self.present };
    },
  );
}

/** One of the projections: x [batch, seq, hidden] -> [batch, heads, seq, headDim] */
function project(w: Module, c: BartConfig, s: BartStack, name: "q" | "k" | "v", x: Tensor): Tensor {
  return splitHeads(w, w.linear(`${name}_proj`, x, c.hiddenSize), s.heads, s.headDim);
}

function mix(
  w: Module,
  c: BartConfig,
  { headDim }: BartStack,
  q: Tensor,
  kv: KeyValue,
  bias: Tensor,
): Tensor {
  const mixed = attend(w, q, kv, { scale: headDim ** -0.5, bias, dropout: c.attentionDropout });
  return w.output(w.linear("out_proj", mixed, c.hiddenSize));
}

const NORMS = {
  attention: "self_attn_layer_norm",
  crossAttention: "encoder_attn_layer_norm",
  feedForward: "final_layer_norm",
} as const;

/** LayerNorm(x + dropout(y)) */
function addAndNorm(w: Module, c: BartConfig, does: keyof typeof NORMS, x: Tensor, y: Tensor): Tensor {
  const name = NORMS[does];
  const h = w.at(name).dropout("dropout", y, c.dropout);
  return meet(w, does, h, x, { norm: (x) => w.layerNorm(name, x, EPS) });
}

function selfAttention(
  w: Module,
  c: BartConfig,
  s: BartStack,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const at = w.at("self_attn");
  const q = project(at, c, s, "q", x);
  const present = withPast(w.g, { k: project(at, c, s, "k", x), v: project(at, c, s, "v", x) }, past);
  return { x: addAndNorm(w, c, "attention", x, mix(at, c, s, q, present, bias)), present };
}

function crossAttention(
  w: Module,
  c: BartConfig,
  x: Tensor,
  { crossBias, encoded }: DecoderShared,
  cross: (project: (of: Layout) => KeyValue) => KeyValue,
): Tensor {
  const at = w.at("encoder_attn");
  const q = project(at, c, c.decoder, "q", x);
  const kv = cross((of) => {
    if (encoded === undefined) return internal("a BART decoder got neither encoder output nor cross keys");
    const from = at.within(of);
    return { k: project(from, c, c.decoder, "k", encoded), v: project(from, c, c.decoder, "v", encoded) };
  });
  return addAndNorm(w, c, "crossAttention", x, mix(at, c, c.decoder, q, kv, crossBias));
}

function feedForward(w: Module, c: BartConfig, s: BartStack, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("fc1", x, s.inter));
  const y = w.linear("fc2", w.dropout("activation_dropout", inner, c.activationDropout), c.hiddenSize);
  return addAndNorm(w, c, "feedForward", x, y);
}

/**
 * Without `final_logits_bias`: it is no parameter, and zero in every BART. Reference:
 * transformers/models/bart
 */
export const bart: Architecture<BartConfig> = {
  modelTypes: ["bart"],
  defaultTokens: {
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 1,
    decoder_start_token_id: 2,
    forced_eos_token_id: 2,
  },
  prefix: "model",
  roles: {
    targets: ["q_proj", "v_proj"],
    norms: ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"],
    scaled: { targets: ["q_proj", "v_proj", "fc2"], feedforward: ["fc2"] },
  },
  parse: (json) => readConfig(json, read),
  checkpoint: { rename: [[/^(model\.)?(?:encoder|decoder)\.embed_tokens\.weight$/, "$1shared.weight"]] },
  tie: ["lm_head.weight", "model.shared.weight"],
  embeddingReaders: ["encoder.embed_tokens", "decoder.embed_tokens"],
  encoder: encode,
  decoder: decode,
  heads: {
    vocabulary: (w, c, hidden) => {
      const tied = c.tied ? "model.shared.weight" : undefined;
      return w.linear("lm_head", hidden, c.vocabSize, { bias: false, tied });
    },
  },
  newModules: [],
};
