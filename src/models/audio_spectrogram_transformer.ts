import { activationNames } from "../graph/activations.js";
import { rowInput } from "../graph/inputs.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig, stackSizes, tokenlessFields } from "./parts/config.js";
import type { PictureForm, PictureLayers } from "./parts/picture_layers.js";
import { pictureLayers } from "./parts/picture_layers.js";
import { asTokens, tokenFor } from "./parts/pictures.js";
import { VIT_MODULES, VIT_ROLES } from "./vit.js";

interface AstConfig extends ModelConfig, PictureLayers {
  readonly patch: number;
  /** How far patches are from each other: bands, frames. */
  readonly strides: readonly [bands: number, frames: number];
  /** Patches of a clip. */
  readonly patches: number;
  readonly form: PictureForm;
}

/** What it reads: [batch, frames, mels], clips of one length. */
interface SpectrogramInputs {
  readonly values: Tensor;
}

function read(f: Fields): AstConfig {
  const [mels, frames] = [f.size("num_mel_bins", 128), f.size("max_length", 1024)];
  const patch = f.size("patch_size", 16);
  const strides = [f.size("frequency_stride", 10), f.size("time_stride", 10)] as const;
  const along = (length: number, stride: number): number => Math.floor((length - patch) / stride) + 1;
  const patches = along(mels, strides[0]) * along(frames, strides[1]);
  if (mels < patch || frames < patch) f.fault(`${frames} frames of ${mels} bands have no patch of ${patch}`);
  return {
    ...tokenlessFields(f),
    ...stackSizes(f, {
      hiddenSize: f.size("hidden_size", 768),
      layers: f.layers("num_hidden_layers", 12),
      heads: f.size("num_attention_heads", 12),
    }),
    cache: { layers: 0, kvHeads: 0, headDim: 0 },
    lengths: { frames, mels },
    ...{ patch, strides, patches },
    inter: f.size("intermediate_size", 3072),
    activation: f.choice("hidden_act", activationNames, "gelu"),
    eps: f.number("layer_norm_eps", 1e-12),
    dropout: f.rate("hidden_dropout_prob", 0),
    attentionDropout: f.rate("attention_probs_dropout_prob", 0),
    form: {
      ...{ layers: "layers", attention: "attention", output: "o_proj" },
      norms: ["layernorm_before", "layernorm_after"],
      biased: f.flag("qkv_bias", true) ? "qkv" : "",
    },
  };
}

/** Two special tokens, then patches of the spectrogram, all with positions: [batch, 2 + patches, hidden] */
function stack(w: Module, c: AstConfig, { values }: SpectrogramInputs): StackOutput {
  const { g } = w;
  const at = w.at("embeddings");
  const picture = g.unsqueeze(g.transpose(values, [0, 2, 1]), 1); // [batch, 1, mels, frames]
  const kernel = [c.patch, c.patch];
  const maps = at.at("patch_embeddings").conv("projection", picture, c.hiddenSize, kernel, {
    stride: c.strides,
  });
  const x = asTokens(w, maps);
  const [cls, distilled] = ["cls_token", "distillation_token"].map((name) =>
    tokenFor(w, at.get(name, [1, 1, c.hiddenSize]), x),
  );
  const tokens = g.concat([cls ?? x, distilled ?? x, x], 1);
  const placed = g.add(tokens, at.get("position_embeddings", [1, 2 + c.patches, c.hiddenSize]));
  const hidden = pictureLayers(w, c, at.dropout("dropout", placed, c.dropout), c.form);
  return { hidden: w.layerNorm("layernorm", hidden, c.eps), present: [] };
}

/** ViT over spectrograms. arXiv 2104.01778. Reference: transformers/models/audio_spectrogram_transformer */
export const audioSpectrogramTransformer: Architecture<AstConfig, SpectrogramInputs> = {
  modelTypes: ["audio-spectrogram-transformer"],
  prefix: "audio_spectrogram_transformer",
  roles: VIT_ROLES,
  inputs: {
    values: rowInput("inputValues", "f32", ["frames", "mels"], {
      means: "spectrograms as the model's feature extractor makes them",
    }),
  },
  parse: (json) => readConfig(json, read),
  checkpoint: { modules: VIT_MODULES },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => {
      const mean = w.g.mean(w.g.slice(hidden, 1, 0, 2), 1); // of both special tokens
      const at = w.at("classifier");
      return at.output(at.linear("dense", at.layerNorm("layernorm", mean, c.eps), c.numLabels));
    },
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["classifier"],
};
