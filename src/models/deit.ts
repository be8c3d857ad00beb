import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { pictureLayers } from "./parts/picture_layers.js";
import type { PictureInputs } from "./parts/pictures.js";
import { pictureInputs } from "./parts/pictures.js";
import { firstToken } from "./parts/pooling.js";
import type { PooledVit, VitConfig } from "./vit.js";
import { embedPatches, poolFirst, readPooledVit, VIT_MODULES, VIT_ROLES, vitForm } from "./vit.js";

interface DeitConfig extends PooledVit {
  /** The model has two heads, of which one learnt from a teacher. */
  readonly hasTeacher: boolean;
}

function read(f: Fields): DeitConfig {
  const [name] = [f.json["architectures"]].flat();
  return { ...readPooledVit(f), hasTeacher: `${name}`.endsWith("WithTeacher") };
}

function stack(w: Module, c: VitConfig, x: PictureInputs): StackOutput {
  const embedded = embedPatches(w.at("embeddings"), c, x, ["cls_token", "distillation_token"]);
  const hidden = pictureLayers(w, c, embedded, vitForm(c));
  return { hidden: w.layerNorm("layernorm", hidden, c.eps), present: [] };
}

/** The label by the class token. */
function byClass(w: Module, c: DeitConfig, hidden: Tensor): Tensor {
  const name = c.hasTeacher ? "cls_classifier" : "classifier";
  return w.linear(name, firstToken(w.g, hidden), c.numLabels);
}

/** The label by the token that learnt from a teacher. */
function byTeacher(w: Module, c: DeitConfig, hidden: Tensor): Tensor {
  const second = w.g.squeeze(w.g.slice(hidden, 1, 1, 2), 1);
  return w.linear("distillation_classifier", second, c.numLabels);
}

/** ViT with a token that learns from a teacher. arXiv 2012.12877. Reference: transformers/models/deit */
export const deit: Architecture<DeitConfig, PictureInputs> = {
  modelTypes: ["deit"],
  prefix: "deit",
  roles: VIT_ROLES,
  inputs: pictureInputs,
  parse: (json) => readConfig(json, read),
  checkpoint: { modules: VIT_MODULES },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => {
      const label = byClass(w, c, hidden);
      return c.hasTeacher ? w.g.mul(w.g.add(label, byTeacher(w, c, hidden)), 0.5) : label;
    },
    hidden: (w, c, hidden) => {
      poolFirst(w.at("pooler"), c, hidden);
      return hidden;
    },
    named: {
      poolerOutput: (w, c, hidden) => poolFirst(w.at("pooler"), c, hidden),
      clsLogits: byClass,
      distillationLogits: byTeacher,
    },
  },
  newModules: ["pooler", "classifier", "cls_classifier", "distillation_classifier"],
};
