import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput } from "./model.js";
import type { ClipVision } from "./parts/clip_layers.js";
import { CLIP_LAYERS, embedClip, readClipVision, withoutLevel } from "./parts/clip_layers.js";
import type { Fields } from "./parts/config.js";
import { readConfig, tokenlessFields } from "./parts/config.js";
import { pictureLayers } from "./parts/picture_layers.js";
import type { PictureInputs } from "./parts/pictures.js";
import { pictureInputs } from "./parts/pictures.js";
import { firstToken } from "./parts/pooling.js";

interface ClipVisionConfig extends ModelConfig, ClipVision {}

function read(f: Fields): ClipVisionConfig {
  return { ...tokenlessFields(f), ...readClipVision(f, { activation: "quick_gelu", eps: 1e-5, patch: 32 }) };
}

/** The tower's hidden states, which its last norm has not seen: that is the pooled token's alone. */
export function clipVisionTower(w: Module, c: ClipVision, x: PictureInputs): Tensor {
  const embedded = w.layerNorm("pre_layrnorm", embedClip(w.at("embeddings"), c, x, true), c.eps);
  return pictureLayers(w, c, embedded, CLIP_LAYERS);
}

export function poolClip(w: Module, c: ClipVision, hidden: Tensor): Tensor {
  return w.layerNorm("post_layernorm", firstToken(w.g, hidden), c.eps);
}

function stack(w: Module, c: ClipVisionConfig, x: PictureInputs): StackOutput {
  return { hidden: clipVisionTower(w, c, x), present: [] };
}

/** CLIP's picture encoder by itself. arXiv 2103.00020. Reference: transformers/models/clip */
export const clipVision: Architecture<ClipVisionConfig, PictureInputs> = {
  modelTypes: ["clip_vision_model"],
  prefix: "",
  roles: { targets: ["q_proj", "v_proj"] },
  inputs: pictureInputs,
  parse: (json) => readConfig(json, read),
  checkpoint: {
    modules: withoutLevel("vision_model", ["encoder", "embeddings", "pre_layrnorm", "post_layernorm"]),
  },
  stack,
  heads: {
    hidden: (w, c, hidden) => {
      poolClip(w, c, hidden);
      return hidden;
    },
    named: { poolerOutput: poolClip },
  },
  newModules: [],
};
