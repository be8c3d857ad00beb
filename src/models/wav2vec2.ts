import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { TaskType } from "../task.js";
import type { Architecture, ModelConfig, StackOutput } from "./model.js";
import { attend, paddingBias, splitHeads } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { leaveOut, meet, repeat } from "./parts/layers.js";
import { meanToken } from "./parts/pooling.js";
import type { HiddenSpans } from "./parts/spans.js";
import { hiddenPlaces, readHiddenSpans } from "./parts/spans.js";
import { weightedStates } from "./parts/states.js";
import type { WaveConfig, WaveInputs } from "./parts/waves.js";
import { countFrames, framesOf, heardFrames, readWaves, waveInputs } from "./parts/waves.js";

export interface Wav2Vec2Config extends ModelConfig, WaveConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  /** Norms stand before what they serve, and one behind the last layer. */
  readonly normsFirst: boolean;
  /** Frames are normed before they are projected. */
  readonly normsFrames: boolean;
  /** The convolution that tells where frames stand. */
  readonly positions: { readonly kernel: number; readonly groups: number };
  readonly spans: HiddenSpans;
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly activationDropout: number;
  readonly frameDropout: number;
  readonly finalDropout: number;
  /** How often training leaves out a layer. */
  readonly layerDrop: number;
  /** The classification head's own width. */
  readonly projected: number;
  /** A classification head reads a weighted sum over all layers. */
  readonly sumsLayers: boolean;
}

/** What wav2vec2's relatives do otherwise. */
export interface Wav2Vec2Form<C extends Wav2Vec2Config, S extends Record<string, Tensor>> {
  /** What all layers read beside the mask; `w` is the encoder, x [batch, frames, hidden]. */
  readonly shared: (w: Module, c: C, x: Tensor) => S;
  /** What is added to the scores of a layer's attention `w`, of what that reads. */
  readonly bias: (w: Module, c: C, x: Tensor, shared: S & { mask: Tensor }) => Tensor;
  /** The first layer that training may leave out. */
  readonly firstDropped: number;
}

/** Ten seconds at 16,000 a second. */
const USUAL_SAMPLES = 160_000;

/** The fields that every relative of wav2vec2 has. */
export function readWav2Vec2(f: Fields, task: TaskType | undefined): Wav2Vec2Config {
  const common = commonFields(f);
  if (f.flag("add_adapter", false))
    f.unbuilt('"add_adapter" is true, and convolutions behind the layers are not built');
  if (f.has("adapter_attn_dim"))
    f.unbuilt('"adapter_attn_dim" is said: adapters of languages in the layers are not built');
  if (f.flag("conv_pos_batch_norm", false)) f.unbuilt('"conv_pos_batch_norm" is true');
  const [hiddenSize, layers] = [f.size("hidden_size", 768), f.layers("num_hidden_layers", 12)];
  const waves = readWaves(f);
  const labels = task === "AUDIO_CLS" || task === "AUDIO_FRAME_CLS";
  return {
    ...common,
    ...stackSizes(f, { hiddenSize, layers, heads: f.size("num_attention_heads", 12) }),
    ...waves,
    cache: { layers: 0, kvHeads: 0, headDim: 0 },
    usualLengths: { samples: USUAL_SAMPLES },
    framesOf: (samples) => countFrames(waves, samples),
    samplesPerFrame: waves.convolutions.reduce((n, { stride }) => n * stride, 1),
    tied: false,
    ctc: {
      reduction: f.choice("ctc_loss_reduction", ["sum", "mean"], "sum"),
      zeroInfinity: f.flag("ctc_zero_infinity", false),
      blank: common.padTokenId ?? 0,
    },
    inter: f.size("intermediate_size", 3072),
    activation: f.choice("hidden_act", activationNames, "gelu"),
    eps: f.number("layer_norm_eps", 1e-5),
    normsFirst: f.flag("do_stable_layer_norm", false),
    normsFrames: f.flag("feat_proj_layer_norm", true),
    positions: {
      kernel: f.size("num_conv_pos_embeddings", 128),
      groups: f.size("num_conv_pos_embedding_groups", 16),
    },
    spans: readHiddenSpans(f, true),
    dropout: f.rate("hidden_dropout", 0.1),
    attentionDropout: f.rate("attention_dropout", 0.1),
    activationDropout: f.rate("activation_dropout", 0.1),
    frameDropout: f.rate("feat_proj_dropout", 0),
    finalDropout: f.rate("final_dropout", 0.1),
    layerDrop: f.rate("layerdrop", 0.1),
    projected: f.size("classifier_proj_size", 256),
    sumsLayers: labels && f.flag("use_weighted_layer_sum", false),
  };
}

/** Frames of samples, projected: [batch, frames, hidden]; spans of them hidden in training. */
function embedFrames(w: Module, c: Wav2Vec2Config, frames: Tensor, mask: Tensor): Tensor {
  const { g } = w;
  const at = w.at("feature_projection");
  const normed = c.normsFrames ? at.layerNorm("layer_norm", frames, c.eps) : frames;
  const x = at.dropout("dropout", at.linear("projection", normed, c.hiddenSize), c.frameDropout);
  const { time, feature, isOn } = c.spans;
  if (time.share === 0 && feature.share === 0) return x;
  const hidden = w.get("masked_spec_embed", [c.hiddenSize]);
  if (!isOn) return x;
  const inTime = hiddenPlaces(w, "mask_time", mask, time);
  const shown = inTime === undefined ? x : g.where(g.less(0, g.unsqueeze(inTime, -1)), hidden, x);
  const all = g.expand(g.scalar(1, "i64"), [dimAt(x.shape, 0), c.hiddenSize]);
  const features = hiddenPlaces(w, "mask_feature", all, feature);
  return features === undefined ? shown : g.mul(shown, g.sub(1, g.unsqueeze(features, 1)));
}

/**
 * What x [batch, frames, hidden] gains by where its frames stand: a convolution over many of them, whose
 * kernel is g v / |v|, a length for each place of it.
 */
function positionsOf(w: Module, c: Wav2Vec2Config, x: Tensor): Tensor {
  const { g } = w;
  const { kernel, groups } = c.positions;
  const at = w.at("conv");
  const length = at.get("parametrizations.weight.original0", [1, 1, kernel]);
  const v = at.get("parametrizations.weight.original1", [c.hiddenSize, c.hiddenSize / groups, kernel]);
  const weight = g.mul(v, g.div(length, g.sqrt(g.sum(g.square(v), [0, 1], true))));
  const how = { stride: [1], padding: [Math.floor(kernel / 2)], dilation: [1], groups };
  const y = g.conv(g.transpose(x, [0, 2, 1]), weight, how);
  const biased = g.add(y, g.reshape(at.get("bias", [c.hiddenSize]), [1, c.hiddenSize, 1]));
  const own = g.slice(biased, 2, 0, dimAt(x.shape, 1)); // an even kernel gives one too many
  return g.transpose(activate(g, c.convActivation, own), [0, 2, 1]);
}

function attention(w: Module, c: Wav2Vec2Config, x: Tensor, bias: Tensor): Tensor {
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(`${name}_proj`, x, c.hiddenSize), c.heads, c.headDim);
  const options = { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout };
  const mixed = attend(w, project("q"), { k: project("k"), v: project("v") }, options);
  return w.output(w.linear("out_proj", mixed, c.hiddenSize));
}

function feedForward(w: Module, c: Wav2Vec2Config, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("intermediate_dense", x, c.inter));
  const kept = w.dropout("intermediate_dropout", inner, c.activationDropout);
  return w.output(w.dropout("output_dropout", w.linear("output_dense", kept, c.hiddenSize), c.dropout));
}

/** Encoder layers over x [batch, frames, hidden]; `w` is the encoder. */
function encode<C extends Wav2Vec2Config, S extends Record<string, Tensor>>(
  w: Module,
  c: C,
  x: Tensor,
  mask: Tensor,
  form: Wav2Vec2Form<C, S>,
): ReturnType<typeof repeat> {
  const { g } = w;
  const real = g.mul(x, g.unsqueeze(g.cast(mask, "f32"), -1)); // padding is silent
  const placed = g.add(real, positionsOf(w.at("pos_conv_embed"), c, real));
  const normed = c.normsFirst ? placed : w.layerNorm("layer_norm", placed, c.eps);
  const embedded = w.dropout("dropout", normed, c.dropout);
  const shared = { ...form.shared(w, c, x), mask: paddingBias(g, mask) };
  const layers = w.at("layers");
  return repeat(layers, c.layers, embedded, undefined, shared, (w, x, shared, _, i) => {
    const norm = (name: string) => (x: Tensor) => w.layerNorm(name, x, c.eps);
    const before = (name: string, x: Tensor): Tensor => (c.normsFirst ? norm(name)(x) : x);
    const behind = (name: string): { norm?: (x: Tensor) => Tensor } =>
      c.normsFirst ? {} : { norm: norm(name) };
    const [read, at] = [before("layer_norm", x), w.at("attention")];
    const attended = attention(at, c, read, form.bias(at, c, read, shared));
    const y = meet(w, "attention", w.dropout("dropout", attended, c.dropout), x, behind("layer_norm"));
    const inner = feedForward(w.at("feed_forward"), c, before("final_layer_norm", y));
    const out = meet(w, "feedForward", inner, y, behind("final_layer_norm"));
    return { x: i < form.firstDropped ? out : leaveOut(w, x, out, c.layerDrop) };
  });
}

/** The bare model: clips -> frames [batch, frames, hidden]. */
export function stackOf<C extends Wav2Vec2Config, S extends Record<string, Tensor>>(
  form: Wav2Vec2Form<C, S>,
): (w: Module, c: C, x: WaveInputs) => StackOutput {
  return (w, c, { values, heard }) => {
    const frames = framesOf(w.at("feature_extractor"), c, values);
    const mask = heardFrames(w, c, heard, frames);
    const at = w.at("encoder");
    const { states, ...out } = encode(at, c, embedFrames(w, c, frames, mask), mask, form);
    if (c.sumsLayers) {
      if (c.normsFirst) at.layerNorm("layer_norm", out.hidden, c.eps); // named, and read by nobody
      return { ...out, mask, hidden: weightedStates(new Module(w.trace), states) };
    }
    return {
      ...out,
      mask,
      hidden: c.normsFirst ? at.layerNorm("layer_norm", out.hidden, c.eps) : out.hidden,
    };
  };
}

/** What all of wav2vec2's relatives have. */
export const WAVES: Pick<
  Architecture<Wav2Vec2Config, WaveInputs>,
  "roles" | "defaultTokens" | "inputs" | "checkpoint" | "heads" | "newModules"
> = {
  roles: {
    targets: ["q_proj", "v_proj"],
    norms: ["layer_norm", "final_layer_norm"],
    scaled: { targets: ["k_proj", "v_proj", "output_dense"], feedforward: ["output_dense"] },
  },
  defaultTokens: { pad_token_id: 0, bos_token_id: 1, eos_token_id: 2 },
  inputs: waveInputs,
  checkpoint: {
    rename: [
      [/(pos_conv_embed\.conv)\.weight_g$/, "$1.parametrizations.weight.original0"],
      [/(pos_conv_embed\.conv)\.weight_v$/, "$1.parametrizations.weight.original1"],
    ],
  },
  heads: {
    vocabulary: (w, c, hidden) =>
      w.linear("lm_head", w.dropout("dropout", hidden, c.finalDropout), c.vocabSize),
    rowLabels: (w, c, hidden, mask) =>
      w.linear("classifier", meanToken(w.g, w.linear("projector", hidden, c.projected), mask), c.numLabels),
    tokenLabels: (w, c, hidden) => w.linear("classifier", hidden, c.numLabels),
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["lm_head", "projector", "classifier", "layer_weights", "masked_spec_embed"],
};

/** The same for every layer: frames of padding are not seen. */
export const PLAIN: Wav2Vec2Form<Wav2Vec2Config, Record<never, Tensor>> = {
  shared: () => ({}),
  bias: (_w, _c, _x, { mask }) => mask,
  firstDropped: 0,
};

/** Clips as frames of 20 ms; XLS-R too. arXiv 2006.11477. Reference: transformers/models/wav2vec2 */
export const wav2Vec2: Architecture<Wav2Vec2Config, WaveInputs> = {
  ...WAVES,
  modelTypes: ["wav2vec2"],
  prefix: "wav2vec2",
  parse: (json, task) => readConfig(json, (f) => readWav2Vec2(f, task)),
  stack: stackOf(PLAIN),
};
