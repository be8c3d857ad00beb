import { addDims, mulDims, subDims } from "../graph/dims.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { pictureLayers } from "./parts/picture_layers.js";
import type { Grid, PictureInputs } from "./parts/pictures.js";
import { patches, pictureInputs, positionsFor, tokenFor } from "./parts/pictures.js";
import { firstToken } from "./parts/pooling.js";
import { resample } from "./parts/resample.js";
import { readVit, VIT_MODULES, VIT_ROLES, type VitConfig, vitForm } from "./vit.js";

interface BeitConfig extends VitConfig {
  /** Distances between patches count: in each layer by a table of its own, in all by one, or not at all. */
  readonly distances: "own" | "shared" | "none";
  readonly hasPositions: boolean;
  readonly hasMaskToken: boolean;
  readonly isScaled: boolean;
  /** A row's vector is the mean of its patches, not the class token. */
  readonly takesMean: boolean;
}

function read(f: Fields): BeitConfig {
  const own = f.flag("use_relative_position_bias", false);
  const shared = f.flag("use_shared_relative_position_bias", false);
  if (own && shared) f.unbuilt("relative positions are in each layer and shared at the same time");
  return {
    ...readVit(f),
    distances: own ? "own" : shared ? "shared" : "none",
    hasPositions: f.flag("use_absolute_position_embeddings", false),
    hasMaskToken: f.flag("use_mask_token", false),
    isScaled: f.number("layer_scale_init_value", 0.1) > 0,
    takesMean: f.flag("use_mean_pooling", true),
  };
}

function embed(w: Module, c: BeitConfig, { pixels }: PictureInputs): { x: Tensor; grid: Grid } {
  const { x, grid } = patches(w.at("patch_embeddings"), "projection", c, pixels);
  const all = w.g.concat([tokenFor(w, w.get("cls_token", [1, 1, c.hiddenSize]), x), x], 1);
  if (c.hasMaskToken) w.get("mask_token", [1, 1, c.hiddenSize]); // of its pretraining
  const count = c.grid[0] * c.grid[1] + 1;
  const placed = c.hasPositions
    ? w.g.add(all, positionsFor(w, w.get("position_embeddings", [1, count, c.hiddenSize]), c.grid, grid))
    : all;
  return { x: w.dropout("dropout", placed, c.dropout), grid };
}

/**
 * What distances add to scores, [1, heads, tokens, tokens]: a table by rows and columns apart, resized where
 * there are more or fewer, and three numbers a head for the class token: what it sees, what sees it, itself.
 */
function distanceBias(w: Module, c: BeitConfig, [rows, columns]: Grid): Tensor {
  const { g } = w;
  const { heads } = c;
  const old = [2 * c.grid[0] - 1, 2 * c.grid[1] - 1] as const;
  const area = old[0] * old[1];
  const table = w.get("relative_position_bias_table", [area + 3, heads]);
  const now = [subDims(mulDims(rows, 2), 1), subDims(mulDims(columns, 2), 1)] as const;
  const maps = g.reshape(g.transpose(g.slice(table, 0, 0, area), [1, 0]), [1, heads, ...old]);
  const patches = mulDims(rows, columns);
  const byDistance = g.reshape(resample(g, maps, now, "bilinear"), [heads, mulDims(...now)]);
  const between = g.reshape(g.gather(byDistance, placesApart(w, [rows, columns]), 1), [
    heads,
    patches,
    patches,
  ]);
  const ofClass = (i: number): Tensor => g.reshape(g.slice(table, 0, area + i, area + i + 1), [heads, 1, 1]);
  const top = g.concat([ofClass(2), g.expand(ofClass(0), [heads, 1, patches])], 2);
  const body = g.concat([g.expand(ofClass(1), [heads, patches, 1]), between], 2);
  return g.unsqueeze(g.concat([top, body], 1), 0);
}

/** Of each two patches the entry of the table: [rows * columns * rows * columns], i64 */
function placesApart({ g }: Module, [rows, columns]: Grid): Tensor {
  const along = (count: Grid[0]): Tensor => {
    const each = g.iota(count);
    return g.add(g.sub(g.unsqueeze(each, 1), each), g.size(subDims(count, 1), "i64")); // [count, count]
  };
  const down = g.reshape(along(rows), [rows, 1, rows, 1]);
  const across = g.reshape(along(columns), [1, columns, 1, columns]);
  const width = g.size(addDims(mulDims(columns, 2), -1), "i64");
  return g.reshape(g.add(g.mul(down, width), across), [mulDims(rows, columns, rows, columns)]);
}

function stack(w: Module, c: BeitConfig, inputs: PictureInputs): StackOutput {
  const { x, grid } = embed(w.at("embeddings"), c, inputs);
  const bias =
    c.distances === "own"
      ? (w: Module) => distanceBias(w.at("relative_position_bias"), c, grid)
      : c.distances === "shared"
        ? distanceBias(w.at("shared_position_bias"), c, grid)
        : undefined;
  const hidden = pictureLayers(w, c, x, {
    ...vitForm(c),
    biased: "qv",
    ...(c.isScaled && { scales: ["lambda_1", "lambda_2"] }),
    ...(bias && { bias }),
  });
  return { hidden: c.takesMean ? hidden : w.layerNorm("layernorm", hidden, c.eps), present: [] };
}

/** The row's vector; `w` is the pooler. */
function pooled(w: Module, c: BeitConfig, hidden: Tensor): Tensor {
  const { g } = w;
  if (!c.takesMean) return firstToken(g, hidden);
  const mean = g.mean(g.slice(hidden, 1, 1, hidden.shape[1] ?? 1), 1);
  return w.layerNorm("layernorm", mean, c.eps);
}

/** ViT with distances in attention. arXiv 2106.08254. Reference: transformers/models/beit */
export const beit: Architecture<BeitConfig, PictureInputs> = {
  modelTypes: ["beit"],
  prefix: "beit",
  roles: VIT_ROLES,
  inputs: pictureInputs,
  parse: (json) => readConfig(json, read),
  checkpoint: {
    modules: [
      ["encoder.relative_position_bias", "shared_position_bias"],
      ["attention.attention.relative_position_bias", "relative_position_bias"],
      ...VIT_MODULES,
    ],
  },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier", pooled(w.at("beit.pooler"), c, hidden), c.numLabels),
    hidden: (w, c, hidden) => {
      pooled(w.at("pooler"), c, hidden);
      return hidden;
    },
    named: { poolerOutput: (w, c, hidden) => pooled(w.at("pooler"), c, hidden) },
  },
  newModules: ["pooler", "classifier"],
};
