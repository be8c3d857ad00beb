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
import { leaveOut, meet, repeat } from "./parts/layers.js";

/** What may differ between the two stacks. */
interface BartStack {
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  /** How often training leaves out a layer. */
  readonly layerDrop: number;
}

/** How BART's relatives differ from one another. */
export interface BartForm {
  /** Norms stand before what they serve, and one behind the last layer. */
  readonly normsFirst: boolean;
  /** The sum of words and positions is normed. */
  readonly embeddingNorm: boolean;
  /** Virtual tokens come in place of words that are scaled, and then nothing is. */
  readonly scalesWordsAlone: boolean;
  /** The embedding of the decoder's words, by its name. */
  readonly words: string;
  /** Projections of keys have a bias. */
  readonly keyBias: boolean;
  /** The decoder sees all positions of its encoder: there is no padding. */
  readonly readsWhole: boolean;
  /** Defaults of both stacks. */
  readonly layerDrop: number;
  readonly attentionDropout: number;
  readonly activation: Activation;
  readonly scalesEmbeddings: boolean;
  readonly maxPositions: number;
  /** Vectors of the places of tokens, [batch, virtual + seq, hidden]; `w` is the place of the stack. */
  readonly positions: (w: Module, c: BartConfig, x: TextInputs) => Tensor;
}

export interface BartConfig extends ModelConfig {
  readonly form: BartForm;
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

const EPS = 1e-5;

function readStack(f: Fields, name: "encoder" | "decoder", hiddenSize: number, form: BartForm): BartStack {
  const layers = f.layers(`${name}_layers`, 12);
  const heads = f.size(`${name}_attention_heads`, 16);
  const { headDim } = stackSizes(f, { hiddenSize, layers, heads });
  const layerDrop = f.rate(`${name}_layerdrop`, form.layerDrop);
  return { layers, heads, headDim, inter: f.size(`${name}_ffn_dim`, 4096), layerDrop };
}

/** The fields that every relative of BART has. */
export function readBart(f: Fields, form: BartForm): BartConfig {
  const hiddenSize = f.size("d_model");
  const encoder = readStack(f, "encoder", hiddenSize, form);
  const decoder = readStack(f, "decoder", hiddenSize, form);
  return {
    ...commonFields(f),
    form,
    initializerRange: f.number("init_std", 0.02),
    hiddenSize,
    layers: encoder.layers,
    encoderDecoder: true,
    cache: { layers: decoder.layers, kvHeads: decoder.heads, headDim: decoder.headDim },
    tied: f.flag("tie_word_embeddings", true),
    encoder,
    decoder,
    activation: f.choice("activation_function", activationNames, form.activation),
    maxPositions: f.count("max_position_embeddings", form.maxPositions),
    embeddingScale: f.flag("scale_embedding", form.scalesEmbeddings) ? hiddenSize ** 0.5 : 1,
    dropout: f.rate("dropout", 0.1),
    attentionDropout: f.rate("attention_dropout", form.attentionDropout),
    activationDropout: f.rate("activation_dropout", 0),
  };
}

/** Rows of a table that training made; the first `unused` ones serve padding. */
export function learnedPositions(unused: number): BartForm["positions"] {
  return (w, { maxPositions, hiddenSize }, x) => {
    const rows = unused === 0 ? x.positions : w.g.add(x.positions, w.g.scalar(unused, "i64"));
    return w.embedding("embed_positions", rows, maxPositions + unused, hiddenSize, maxPositions);
  };
}

/** words + positions: [batch, virtual + seq, hidden]; `w` is the place of one stack. */
function embed(w: Module, c: BartConfig, x: TextInputs, words: Tensor): Tensor {
  const sum = w.pack(w.g.add(words, c.form.positions(w, c, x)));
  const normed = c.form.embeddingNorm ? w.layerNorm("layernorm_embedding", sum, EPS) : sum;
  return w.dropout("dropout", normed, c.dropout);
}

function embedWords(w: Module, c: BartConfig, ids: Tensor, scale = c.embeddingScale): Tensor {
  const words = w.embedding(c.form.words, ids, c.vocabSize, c.hiddenSize);
  return scale === 1 ? words : w.g.mul(words, scale);
}

/** The norm behind the last layer. */
function finish(w: Module, c: BartConfig, hidden: Tensor): Tensor {
  return c.form.normsFirst ? w.layerNorm("layer_norm", hidden, EPS) : hidden;
}

/** ids -> [batch, virtual + seq, hidden] */
function encode(w: Module, c: BartConfig, x: TextInputs): Tensor {
  const at = w.at("encoder");
  const hasPrompt = x.positions.shape[1] !== x.ids.shape[1];
  const words = embedWords(w, c, x.ids, hasPrompt && c.form.scalesWordsAlone ? 1 : undefined);
  return encodeLayers(at, c, embed(at, c, x, w.trace.prepend(words)), paddingBias(w.g, x.mask)).hidden;
}

/** The encoder's layers, and what stands behind the last one; `w` is the encoder. */
export function encodeLayers(
  w: Module,
  c: BartConfig,
  x: Tensor,
  bias: Tensor | undefined,
): ReturnType<typeof repeat> {
  const shared: { bias?: Tensor } = bias === undefined ? {} : { bias };
  const out = repeat(w.at("layers"), c.encoder.layers, x, undefined, shared, (w, x, { bias }) => {
    const attended = selfAttention(w, c, c.encoder, x, bias, undefined).x;
    return { x: leaveOut(w, x, feedForward(w, c, c.encoder, attended), c.encoder.layerDrop) };
  });
  return { ...out, hidden: finish(w, c, out.hidden) };
}

type DecoderShared = { bias: Tensor; crossBias?: Tensor; encoded?: Tensor };

/** ids, the encoder's output -> [batch, seq, hidden], present keys and values of self-attention. */
export function decode(w: Module, c: BartConfig, x: DecoderInputs, encoded: Tensor | undefined): StackOutput {
  const at = w.at("decoder");
  const words = w.trace.prepend(embedWords(w, c, x.ids));
  const shared: DecoderShared = {
    bias: causalBias(w.g, x.mask, dimAt(words.shape, 1)),
    ...(c.form.readsWhole ? {} : { crossBias: paddingBias(w.g, x.encoderMask) }),
    ...(encoded === undefined ? {} : { encoded }),
  };
  const { hidden, present } = repeat(
    at.at("layers"),
    c.decoder.layers,
    embed(at, c, x, words),
    x.past,
    shared,
    (w, h, s, past, i) => {
      const self = selfAttention(w, c, c.decoder, h, s.bias, past);
      const crossed = crossAttention(w, c, self.x, s, (project) => x.cross(i, project));
      const out = leaveOut(w, h, feedForward(w, c, c.decoder, crossed), c.decoder.layerDrop);
      return { x: out, present: self.present };
    },
  );
  return { hidden: finish(at, c, hidden), present };
}

/** One of the projections: x [batch, seq, hidden] -> [batch, heads, seq, headDim] */
function project(w: Module, c: BartConfig, s: BartStack, name: "q" | "k" | "v", x: Tensor): Tensor {
  const bias = name !== "k" || c.form.keyBias;
  return splitHeads(w, w.linear(`${name}_proj`, x, c.hiddenSize, { bias }), s.heads, s.headDim);
}

function mix(
  w: Module,
  c: BartConfig,
  { headDim }: BartStack,
  q: Tensor,
  kv: KeyValue,
  bias: Tensor | undefined,
): Tensor {
  const mixed = attend(w, q, kv, { scale: headDim ** -0.5, bias, dropout: c.attentionDropout });
  return w.output(w.linear("out_proj", mixed, c.hiddenSize));
}

const NORMS = {
  attention: "self_attn_layer_norm",
  crossAttention: "encoder_attn_layer_norm",
  feedForward: "final_layer_norm",
} as const;

type Does = keyof typeof NORMS;

/** What a sublayer reads: x, normed where norms come first. */
function before(w: Module, c: BartConfig, does: Does, x: Tensor): Tensor {
  return c.form.normsFirst ? w.layerNorm(NORMS[does], x, EPS) : x;
}

/** x + dropout(y), normed where norms come last. */
function addAndNorm(w: Module, c: BartConfig, does: Does, x: Tensor, y: Tensor): Tensor {
  const name = NORMS[does];
  const h = w.at(name).dropout("dropout", y, c.dropout);
  return meet(w, does, h, x, c.form.normsFirst ? {} : { norm: (x) => w.layerNorm(name, x, EPS) });
}

function selfAttention(
  w: Module,
  c: BartConfig,
  s: BartStack,
  x: Tensor,
  bias: Tensor | undefined,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const at = w.at("self_attn");
  const from = before(w, c, "attention", x);
  const q = project(at, c, s, "q", from);
  const present = withPast(w.g, { k: project(at, c, s, "k", from), v: project(at, c, s, "v", from) }, past);
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
  const q = project(at, c, c.decoder, "q", before(w, c, "crossAttention", x));
  const kv = cross((of) => {
    if (encoded === undefined) return internal("a BART decoder got neither encoder output nor cross keys");
    const from = at.within(of);
    return { k: project(from, c, c.decoder, "k", encoded), v: project(from, c, c.decoder, "v", encoded) };
  });
  return addAndNorm(w, c, "crossAttention", x, mix(at, c, c.decoder, q, kv, crossBias));
}

function feedForward(w: Module, c: BartConfig, s: BartStack, x: Tensor): Tensor {
  const from = before(w, c, "feedForward", x);
  const inner = activate(w.g, c.activation, w.linear("fc1", from, s.inter));
  const y = w.linear("fc2", w.dropout("activation_dropout", inner, c.activationDropout), c.hiddenSize);
  return addAndNorm(w, c, "feedForward", x, y);
}

export const BART_FORM: BartForm = {
  normsFirst: false,
  embeddingNorm: true,
  scalesWordsAlone: false,
  words: "shared",
  keyBias: true,
  readsWhole: false,
  layerDrop: 0,
  attentionDropout: 0,
  activation: "gelu",
  scalesEmbeddings: false,
  maxPositions: 1024,
  positions: learnedPositions(2),
};

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
  parse: (json) => readConfig(json, (f) => readBart(f, BART_FORM)),
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
