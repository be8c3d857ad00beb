import { axes } from "../graph/dims.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { type PairInputs, pairInputs, TEXTS } from "./clip.js";
import type { Architecture, ModelConfig, StackOutput, TaskType } from "./model.js";
import { attend, paddingBias, splitHeads } from "./parts/attention.js";
import type { ClipVision } from "./parts/clip_layers.js";
import {
  CLIP_LAYERS,
  embedClip,
  pairEmbeds,
  pairProducts,
  pairVectors,
  readClipVision,
} from "./parts/clip_layers.js";
import type { Fields } from "./parts/config.js";
import { NOT_CACHED, readConfig, tokenlessFields } from "./parts/config.js";
import { pictureLayers, twoLayers } from "./parts/picture_layers.js";
import type { PictureInputs } from "./parts/pictures.js";

const DEFAULTS = { activation: "gelu_pytorch_tanh", eps: 1e-6, patch: 16 } as const;

interface SiglipConfig extends ModelConfig {
  readonly vision: ClipVision;
  /** The text's layers are a picture's. */
  readonly text: ClipVision & { readonly maxPositions: number; readonly projected: number };
  readonly words: number;
  readonly seesAlone: boolean;
}

function read(f: Fields, task: TaskType | undefined): SiglipConfig {
  const vision = readClipVision(f.object("vision_config") ?? f, DEFAULTS);
  const { channels } = vision;
  const t = f.object("text_config") ?? f;
  const own = readClipVision(t, DEFAULTS);
  const text = {
    ...own,
    maxPositions: t.count("max_position_embeddings", 64),
    projected: t.size("projection_size", own.hiddenSize),
  };
  const seesAlone = task === "IMAGE_CLS";
  const words = t.count("vocab_size", 32000);
  return {
    ...tokenlessFields(f),
    ...NOT_CACHED,
    ...{ vision, text, words, seesAlone, lengths: { channels }, pairsApart: true },
    ...(seesAlone ? { unread: TEXTS } : { vocabSize: words }),
    hiddenSize: vision.hiddenSize,
    layers: vision.layers,
  };
}

function tower(w: Module, c: ClipVision, x: PictureInputs): Tensor {
  const hidden = pictureLayers(w, c, embedClip(w.at("embeddings"), c, x, false), CLIP_LAYERS);
  return w.layerNorm("post_layernorm", hidden, c.eps);
}

/** A probe asks all patches: attention by it, and a feed-forward layer. `w` is the pooling head. */
function probe(w: Module, c: ClipVision, hidden: Tensor): Tensor {
  const { g } = w;
  const { hiddenSize: width } = c;
  const [batch] = axes(hidden.shape, 3);
  const at = w.at("attention");
  const [weights, biases] = [
    at.get("in_proj_weight", [3 * width, width]),
    at.get("in_proj_bias", [3 * width]),
  ];
  const project = (i: number, x: Tensor): Tensor => {
    const y = g.linear(x, g.slice(weights, 0, i * width, (i + 1) * width));
    return splitHeads(at, g.add(y, g.slice(biases, 0, i * width, (i + 1) * width)), c.heads, c.headDim);
  };
  const asked = g.expand(w.get("probe", [1, 1, width]), [batch, 1, width]);
  const kv = { k: project(1, hidden), v: project(2, hidden) };
  const mixed = attend(at, project(0, asked), kv, { scale: c.headDim ** -0.5, bias: undefined, dropout: 0 });
  const x = at.linear("out_proj", mixed, width);
  const y = g.add(x, twoLayers(w.at("mlp"), c, w.layerNorm("layernorm", x, c.eps)));
  return g.squeeze(y, 1);
}

/** The last token's hidden state, be it padding. */
function textVector(w: Module, c: SiglipConfig, x: PairInputs): Tensor {
  const { g } = w;
  const at = w.at("embeddings");
  const { text } = c;
  const words = at.embedding("token_embedding", x.ids, c.words, text.hiddenSize);
  const table = [text.maxPositions, text.hiddenSize, text.maxPositions] as const;
  const placed = g.add(words, at.embedding("position_embedding", x.positions, ...table));
  const hidden = pictureLayers(w, text, placed, { ...CLIP_LAYERS, bias: paddingBias(g, x.mask) });
  const last = g.squeeze(g.last(w.layerNorm("final_layer_norm", hidden, text.eps), 1), 1);
  return w.linear("head", last, text.projected);
}

function stack(w: Module, c: SiglipConfig, x: PairInputs): StackOutput {
  const seen = tower(w.at("vision_model"), c.vision, x);
  if (c.seesAlone) return { hidden: seen, present: [] };
  const picture = probe(w.at("vision_model.head"), c.vision, seen);
  return { hidden: pairVectors(w, picture, textVector(w.at("text_model"), c, x)), present: [] };
}

/** CLIP whose pairs are learnt each by itself. arXiv 2303.15343. Reference: transformers/models/siglip */
export const siglip: Architecture<SiglipConfig, PairInputs> = {
  modelTypes: ["siglip"],
  prefix: "",
  roles: { targets: ["q_proj", "v_proj"] },
  inputs: pairInputs,
  parse: (json, task) => readConfig(json, (f) => read(f, task)),
  labelsPictures: true,
  stack,
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier", w.g.mean(hidden, 1), c.numLabels),
    pairs: (w, _c, hidden) => {
      const { g } = w;
      const scores = pairProducts(w, hidden);
      return g.add(g.mul(scores, g.exp(w.get("logit_scale", [1]))), w.get("logit_bias", [1]));
    },
    named: pairEmbeds,
  },
  newModules: ["classifier"],
};
