import { dimAt, mulDims } from "../graph/dims.js";
import type { InputsFor } from "../graph/inputs.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { ClipTextConfig } from "./clip_text.js";
import { clipTextStack, readClipText } from "./clip_text.js";
import { clipVisionTower, poolClip } from "./clip_vision.js";
import type { Architecture, ModelConfig, StackOutput, TaskType } from "./model.js";
import type { ClipVision } from "./parts/clip_layers.js";
import { pairEmbeds, pairProducts, pairVectors, readClipVision } from "./parts/clip_layers.js";
import type { Fields } from "./parts/config.js";
import { NOT_CACHED, readConfig, tokenlessFields } from "./parts/config.js";
import type { PictureInputs } from "./parts/pictures.js";
import { pictureInputs } from "./parts/pictures.js";
import { textInputs } from "./text_inputs.js";

interface ClipConfig extends ModelConfig {
  readonly vision: ClipVision;
  readonly text: ClipTextConfig;
  readonly projected: number;
  /** It labels pictures: there is no text. */
  readonly seesAlone: boolean;
}

/** Pictures and their texts. */
export interface PairInputs extends PictureInputs {
  readonly ids: Tensor;
  readonly mask: Tensor;
  readonly positions: Tensor;
}

export const pairInputs: InputsFor<PairInputs> = {
  ids: textInputs.ids,
  mask: textInputs.mask,
  positions: textInputs.positions,
  ...pictureInputs,
};

/** What a model of pairs does not read where it labels pictures. */
export const TEXTS: readonly string[] = ["ids", "mask", "positions"];

function read(f: Fields, task: TaskType | undefined): ClipConfig {
  const vision = readClipVision(f.object("vision_config") ?? f, {
    ...{ activation: "quick_gelu", eps: 1e-5, patch: 32 },
  });
  const { channels } = vision;
  const text = readClipText(f.object("text_config") ?? f);
  const seesAlone = task === "IMAGE_CLS";
  const projected = f.size("projection_dim", 512);
  return {
    ...tokenlessFields(f),
    ...NOT_CACHED,
    ...{ vision, text, projected, seesAlone, lengths: { channels } },
    ...(seesAlone ? { unread: TEXTS } : { vocabSize: text.vocabSize }),
    hiddenSize: seesAlone ? vision.hiddenSize : projected,
    layers: vision.layers,
  };
}

/** The hidden state at a text's end: its largest id (older configs say 2), or the first that is named. */
function textEnd(w: Module, { ids }: PairInputs, hidden: Tensor, end: number): Tensor {
  const { g } = w;
  const [batch, length, width] = [0, 1, 2].map((i) => dimAt(hidden.shape, i));
  const wanted = end === 2 ? g.amax(ids, 1, true) : g.scalar(end, "i64");
  const isEnd = g.cast(g.cast(g.equal(ids, wanted), "f32"), "i64");
  const all = g.size(length ?? 1, "i64");
  const place = g.sub(all, g.amax(g.mul(isEnd, g.sub(all, g.iota(length ?? 1))), 1)); // [batch]
  const row = g.add(g.mul(g.iota(batch ?? 1), all), place);
  return g.gather(g.reshape(hidden, [mulDims(batch ?? 1, length ?? 1), width ?? 1]), row);
}

function stack(w: Module, c: ClipConfig, x: PairInputs): StackOutput {
  const seen = clipVisionTower(w.at("vision_model"), c.vision, x);
  const pooled = poolClip(w.at("vision_model"), c.vision, seen); // named and counted, where nothing reads it
  if (c.seesAlone) return { hidden: seen, present: [] };
  const bias = { bias: false };
  const picture = w.linear("visual_projection", pooled, c.projected, bias);
  const { hidden } = clipTextStack(w.at("text_model"), c.text, { ...x, typeIds: undefined, past: undefined });
  const text = w.linear("text_projection", textEnd(w, x, hidden, c.text.end), c.projected, bias);
  return { hidden: pairVectors(w, picture, text), present: [] };
}

/** Pictures and texts in one space. arXiv 2103.00020. Reference: transformers/models/clip */
export const clip: Architecture<ClipConfig, PairInputs> = {
  modelTypes: ["clip"],
  prefix: "",
  roles: { targets: ["q_proj", "v_proj"] },
  inputs: pairInputs,
  parse: (json, task) => readConfig(json, (f) => read(f, task)),
  labelsPictures: true,
  stack,
  heads: {
    rowLabels: (w, c, hidden) => {
      const patches = w.g.slice(hidden, 1, 1, dimAt(hidden.shape, 1));
      return w.linear("classifier", w.g.mean(patches, 1), c.numLabels);
    },
    pairs: (w, _c, hidden) => {
      const { g } = w;
      const scores = pairProducts(w, hidden);
      return g.mul(scores, g.exp(w.get("logit_scale", [])));
    },
    named: pairEmbeds,
  },
  newModules: ["classifier"],
};
