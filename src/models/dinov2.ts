import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { PictureForm, PictureLayers } from "./parts/picture_layers.js";
import { pictureLayers } from "./parts/picture_layers.js";
import type { PictureInputs } from "./parts/pictures.js";
import { patches, pictureInputs, positionsFor, tokenFor } from "./parts/pictures.js";
import { firstToken } from "./parts/pooling.js";
import { readVit, VIT_MODULES, VIT_ROLES, type VitConfig, vitForm } from "./vit.js";

export interface Dinov2Config extends VitConfig {
  readonly swiglu: boolean;
  readonly registers: number;
  readonly hasMaskToken: boolean;
}

export function readDinov2(f: Fields, registers: number): Dinov2Config {
  const width = f.size("hidden_size", 768);
  const c = readVit(f, { inter: Math.floor(width * f.number("mlp_ratio", 4)), eps: 1e-6 });
  const swiglu = f.flag("use_swiglu_ffn", false);
  const inter = swiglu ? Math.ceil(Math.floor((c.inter * 2) / 3) / 8) * 8 : c.inter;
  const hasMaskToken = registers > 0 || f.flag("use_mask_token", true);
  return { ...c, inter, swiglu, registers, hasMaskToken };
}

function formOf(c: Dinov2Config): PictureForm {
  return {
    ...vitForm(c),
    layers: "encoder.layer",
    norms: ["norm1", "norm2"],
    scales: ["layer_scale1.lambda1", "layer_scale2.lambda1"],
    ...(c.swiglu && { feedForward: gated }),
  };
}

/** down(silu(gate(x)) up(x)) */
function gated(w: Module, c: PictureLayers, x: Tensor): Tensor {
  const inner = w.g.mul(w.g.silu(w.linear("gate_proj", x, c.inter)), w.linear("up_proj", x, c.inter));
  return w.output(w.linear("down_proj", inner, c.hiddenSize));
}

/** Registers stand behind the class token, and have no positions. */
function embed(w: Module, c: Dinov2Config, { pixels }: PictureInputs): Tensor {
  const { g } = w;
  const { x, grid } = patches(w.at("patch_embeddings"), "projection", c, pixels);
  const token = tokenFor(w, w.get("cls_token", [1, 1, c.hiddenSize]), x);
  const [rows, columns] = c.grid;
  const table = w.get("position_embeddings", [1, 1 + rows * columns, c.hiddenSize]);
  if (c.hasMaskToken) w.get("mask_token", [1, c.hiddenSize]); // of its pretraining
  const kind = c.registers > 0 ? "antialiased" : "bicubic";
  const placed = g.add(g.concat([token, x], 1), positionsFor(w, table, c.grid, grid, kind));
  if (c.registers === 0) return w.dropout("dropout", placed, c.dropout);
  const own = tokenFor(w, w.get("register_tokens", [1, c.registers, c.hiddenSize]), x);
  const [first, rest] = [g.slice(placed, 1, 0, 1), g.slice(placed, 1, 1, placed.shape[1] ?? 1)];
  return w.dropout("dropout", g.concat([first, own, rest], 1), c.dropout);
}

function stack(w: Module, c: Dinov2Config, x: PictureInputs): StackOutput {
  const hidden = pictureLayers(w, c, embed(w.at("embeddings"), c, x), formOf(c));
  return { hidden: w.layerNorm("layernorm", hidden, c.eps), present: [] };
}

/** The class token beside the mean of the patches: [batch, 2 hidden] */
function classAndMean(w: Module, c: Dinov2Config, hidden: Tensor): Tensor {
  const { g } = w;
  const patches = g.slice(hidden, 1, 1 + c.registers, hidden.shape[1] ?? 1);
  return g.concat([firstToken(g, hidden), g.mean(patches, 1)], -1);
}

/** SwiGLU's first two layers are one tensor in files. */
const GATED: readonly (readonly [RegExp, readonly string[]])[] = [
  [/\bmlp\.weights_in\.(weight|bias)$/, ["mlp.gate_proj.$1", "mlp.up_proj.$1"]],
];

/** Features of pictures without labels. arXiv 2304.07193. Reference: transformers/models/dinov2 */
export const dinov2: Architecture<Dinov2Config, PictureInputs> = {
  modelTypes: ["dinov2"],
  prefix: "dinov2",
  roles: VIT_ROLES,
  inputs: pictureInputs,
  parse: (json) => readConfig(json, (f) => readDinov2(f, 0)),
  checkpoint: {
    split: GATED,
    modules: [
      ...VIT_MODULES.filter(([before]) => before.startsWith("attention.")),
      ["mlp.weights_out", "mlp.down_proj"],
    ],
  },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier", classAndMean(w, c, hidden), c.numLabels),
    hidden: (_w, _c, hidden) => hidden,
    named: { poolerOutput: (w, _c, hidden) => firstToken(w.g, hidden) },
  },
  newModules: ["classifier"],
};
