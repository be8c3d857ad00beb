import { activationNames } from "../../graph/activations.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { CheckpointRules } from "../model.js";
import type { Fields } from "./config.js";
import { stackSizes } from "./config.js";
import type { PictureForm, PictureLayers } from "./picture_layers.js";
import type { PatchConfig, PictureInputs } from "./pictures.js";
import { patches, positionsFor, readPatches } from "./pictures.js";

/** The layers of CLIP's towers, and of SigLIP's. */
export const CLIP_LAYERS: PictureForm = {
  layers: "encoder.layers",
  attention: "self_attn",
  norms: ["layer_norm1", "layer_norm2"],
  output: "out_proj",
  biased: "qkv",
};

/** Names in files, and before transformers 5, of modules of a tower by itself: a level more. */
export function withoutLevel(
  level: string,
  modules: readonly string[],
): NonNullable<CheckpointRules["modules"]> {
  return modules.map((module) => [`${level}.${module}`, module] as const);
}

export interface ClipVision extends PatchConfig, PictureLayers {}

/** A tower's fields; `f` are those of its own. */
export function readClipVision(
  f: Fields,
  more: { activation: "quick_gelu" | "gelu_pytorch_tanh"; eps: number; patch: number },
): ClipVision {
  const { hiddenSize, layers, heads, headDim } = stackSizes(f, {
    hiddenSize: f.size("hidden_size", 768),
    layers: f.layers("num_hidden_layers", 12),
    heads: f.size("num_attention_heads", 12),
  });
  return {
    ...{ hiddenSize, layers, heads, headDim },
    ...readPatches(f, { image: 224, patch: more.patch }),
    inter: f.size("intermediate_size", 3072),
    activation: f.choice("hidden_act", activationNames, more.activation),
    eps: f.number("layer_norm_eps", more.eps),
    dropout: 0,
    attentionDropout: f.rate("attention_dropout", 0),
  };
}

/** A picture's vector and its text's, of length 1: [batch, 2, width] */
export function pairVectors({ g }: Module, picture: Tensor, text: Tensor): Tensor {
  const both = g.concat([g.unsqueeze(picture, 1), g.unsqueeze(text, 1)], 1);
  return g.div(both, g.sqrt(g.sum(g.square(both), -1, true)));
}

/** One of them: [batch, width] */
function unitVector({ g }: Module, pairs: Tensor, i: 0 | 1): Tensor {
  return g.squeeze(g.slice(pairs, 1, i, i + 1), 1);
}

/** How near each picture is to each text, by their vectors: [pictures, texts] */
export function pairProducts(w: Module, pairs: Tensor): Tensor {
  return w.g.matmul(unitVector(w, pairs, 0), unitVector(w, pairs, 1), { transB: true });
}

/** The vectors by their names in Python. */
export const pairEmbeds: Readonly<
  Record<"imageEmbeds" | "textEmbeds", (w: Module, c: unknown, pairs: Tensor) => Tensor>
> = {
  imageEmbeds: (w, _c, pairs) => unitVector(w, pairs, 0),
  textEmbeds: (w, _c, pairs) => unitVector(w, pairs, 1),
};

/** Patches and, where it has one, a class token, all with positions. */
export function embedClip(w: Module, c: ClipVision, { pixels }: PictureInputs, hasClass: boolean): Tensor {
  const { g } = w;
  const { x, grid } = patches(w, "patch_embedding", c, pixels, !hasClass);
  const [rows, columns] = c.grid;
  const count = rows * columns + (hasClass ? 1 : 0);
  const table = g.unsqueeze(w.at("position_embedding").get("weight", [count, c.hiddenSize]), 0);
  const positions = positionsFor(w, table, c.grid, grid);
  if (!hasClass) return g.add(x, positions);
  const token = g.reshape(w.get("class_embedding", [c.hiddenSize]), [1, 1, c.hiddenSize]);
  const first = g.expand(token, [x.shape[0] ?? 1, 1, c.hiddenSize]);
  return g.add(g.concat([first, x], 1), positions);
}
