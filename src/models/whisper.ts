import type { Dim } from "../graph/dims.js";
import { axes } from "../graph/dims.js";
import { rowInput } from "../graph/inputs.js";
import { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BartConfig, BartForm } from "./bart.js";
import { BART_FORM, bart, decode, encodeLayers, learnedPositions, readBart } from "./bart.js";
import type { Architecture, StackOutput } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { HiddenSpans } from "./parts/spans.js";
import { hiddenPlaces, readHiddenSpans } from "./parts/spans.js";
import { weightedStates } from "./parts/states.js";

interface WhisperConfig extends BartConfig {
  /** Positions of the encoder, each of two frames. */
  readonly encoded: number;
  /** Spans of frames and of bands that training hides. */
  readonly spans: HiddenSpans;
  /** The classification head's own width. */
  readonly projected: number;
  /** It reads a weighted sum over all layers. */
  readonly sumsLayers: boolean;
}

/** What the encoder reads: the log-mel features of clips, all of one length, silence included. */
interface SoundInputs {
  /** [batch, mels, 2 * encoded] */
  readonly features: Tensor;
}

const FORM: BartForm = {
  ...BART_FORM,
  normsFirst: true,
  embeddingNorm: false,
  words: "decoder.embed_tokens",
  keyBias: false,
  readsWhole: true,
  positions: learnedPositions(0),
};

function parse(json: Record<string, unknown>, task?: string): WhisperConfig {
  const isEncoder = task === "AUDIO_CLS";
  const own = isEncoder ? { ...json, decoder_start_token_id: null } : json; // nothing decodes
  return readConfig(own, (f) => {
    const c = readBart(f, FORM);
    const encoded = f.size("max_source_positions", 1500);
    const mels = f.size("num_mel_bins", 80);
    return {
      ...c,
      ...(isEncoder && { encoderDecoder: false, cache: { layers: 0, kvHeads: 0, headDim: 0 } }),
      tied: !isEncoder && c.tied,
      embeddingScale: 1, // Python does not read scale_embedding
      lengths: { mels, frames: 2 * encoded },
      encoded,
      maxPositions: f.count("max_target_positions", 448),
      spans: readHiddenSpans(f, false),
      projected: f.size("classifier_proj_size", 256),
      sumsLayers: f.flag("use_weighted_layer_sum", false),
    };
  });
}

/** Features without what training hides of them: SpecAugment. */
function shown(w: Module, { spans }: WhisperConfig, features: Tensor): Tensor {
  const { g } = w;
  if (!spans.isOn) return features;
  const [batch, mels, frames] = axes(features.shape, 3);
  const all = (places: Dim): Tensor => g.expand(g.scalar(1, "i64"), [batch, places]);
  const time = hiddenPlaces(w, "mask_time", all(frames), spans.time);
  const bands = hiddenPlaces(w, "mask_feature", all(mels), spans.feature);
  const kept = time === undefined ? features : g.mul(features, g.sub(1, g.unsqueeze(time, 1)));
  return bands === undefined ? kept : g.mul(kept, g.sub(1, g.unsqueeze(bands, -1)));
}

/** The encoder; `w` is the bare model. */
function encode(w: Module, c: WhisperConfig, { features }: SoundInputs): ReturnType<typeof encodeLayers> {
  const at = w.at("encoder");
  const { g } = w;
  const first = g.gelu(at.conv("conv1", shown(at, c, features), c.hiddenSize, [3], { padding: [1] }));
  const second = g.gelu(at.conv("conv2", first, c.hiddenSize, [3], { padding: [1], stride: [2] }));
  const positions = at.get("embed_positions.weight", [c.encoded, c.hiddenSize]);
  const embedded = at.dropout("dropout", g.add(g.transpose(second, [0, 2, 1]), positions), c.dropout);
  return encodeLayers(at, c, embedded, undefined);
}

/** The encoder alone, with what its classification head reads. */
function stack(w: Module, c: WhisperConfig, x: SoundInputs): StackOutput {
  const { hidden, states, ...out } = encode(w, c, x);
  if (!c.sumsLayers) return { ...out, hidden };
  return { ...out, hidden: weightedStates(new Module(w.trace), [...states.slice(0, -1), hidden]) };
}

/**
 * BART with norms in front, whose encoder reads sound. Silence is heard, so that nothing of the encoder is
 * left out. Reference: transformers/models/whisper
 */
export const whisper: Architecture<WhisperConfig, SoundInputs> = {
  ...bart,
  modelTypes: ["whisper"],
  defaultTokens: {
    bos_token_id: 50256,
    eos_token_id: 50256,
    pad_token_id: 50256,
    decoder_start_token_id: 50257,
  },
  prefix: (task) => (task === "AUDIO_CLS" ? "" : "model"),
  parse,
  checkpoint: {},
  tie: ["proj_out.weight", "model.decoder.embed_tokens.weight"],
  embeddingReaders: [],
  inputs: {
    features: rowInput("inputFeatures", "f32", ["mels", "frames"], {
      means: "the log-mel features of clips, padded with silence to one length",
    }),
  },
  encoder: (w, c, x) => encode(w, c, x).hidden,
  decoder: decode,
  stack,
  heads: {
    vocabulary: (w, c, hidden) => {
      const tied = c.tied ? "model.decoder.embed_tokens.weight" : undefined;
      return w.linear("proj_out", hidden, c.vocabSize, { bias: false, tied });
    },
    rowLabels: (w, c, hidden) => {
      const mean = w.g.mean(w.linear("projector", hidden, c.projected), 1);
      return w.linear("classifier", mean, c.numLabels);
    },
  },
  newModules: ["projector", "classifier", "layer_weights"],
};
