import type { Activation } from "../graph/activations.js";
import { activationNames } from "../graph/activations.js";
import { dimAt, lengthAt, mulDims } from "../graph/dims.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import type { Architecture, ModelConfig, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { NOT_CACHED, readConfig, tokenlessFields } from "./parts/config.js";
import { meet } from "./parts/layers.js";
import { pictureAttention, twoLayers } from "./parts/picture_layers.js";
import type { Grid, PatchConfig, PictureInputs } from "./parts/pictures.js";
import { patches, pictureInputs, positionsFor, readPatches } from "./parts/pictures.js";
import { VIT_MODULES, VIT_ROLES } from "./vit.js";

interface SwinConfig extends ModelConfig, PatchConfig {
  readonly embedDim: number;
  readonly depths: readonly number[];
  readonly heads: readonly number[];
  readonly window: number;
  readonly ratio: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly qkvBias: boolean;
  readonly hasPositions: boolean;
}

function read(f: Fields): SwinConfig {
  const embedDim = f.size("embed_dim", 96);
  const depths = f.sizes("depths", [2, 2, 6, 2]);
  const heads = f.sizes("num_heads", [3, 6, 12, 24]);
  if (heads.length !== depths.length) f.fault(`there are ${depths.length} depths of ${heads.length} stages`);
  const { lengths, ...sizes } = readPatches(f, { image: 224, patch: 4 });
  const [height, width] = f.pair("image_size", 224);
  const window = f.size("window_size", 7);
  const last = depths.length - 1;
  if (Math.min(...sizes.grid.map((side) => Math.ceil(side / 2 ** last))) < window)
    f.unbuilt(`a window of ${window} is larger than the last stage`);
  return {
    ...tokenlessFields(f),
    ...NOT_CACHED,
    ...sizes,
    ...{ embedDim, depths, heads, window },
    // what shifts, and what is padded, follows from the size
    lengths: { ...lengths, height, width },
    hiddenSize: embedDim * 2 ** last,
    layers: depths.reduce((a, b) => a + b, 0),
    ratio: f.number("mlp_ratio", 4),
    activation: f.choice("hidden_act", activationNames, "gelu"),
    eps: f.number("layer_norm_eps", 1e-5),
    dropout: f.rate("hidden_dropout_prob", 0),
    attentionDropout: f.rate("attention_probs_dropout_prob", 0),
    qkvBias: f.flag("qkv_bias", true),
    hasPositions: f.flag("use_absolute_embeddings", false),
  };
}

/** Of norms outside of layers. */
const EPS = 1e-5;

/** A stage's sizes: of its maps, its channels and heads. */
interface Stage {
  readonly rows: number;
  readonly columns: number;
  readonly width: number;
  readonly heads: number;
}

/** x [batch, rows, columns, width] -> windows [batch * windows, window * window, width] */
function toWindows({ g }: Module, x: Tensor, window: number): Tensor {
  const [batch, rows, columns, width] = [dimAt(x.shape, 0), ...[1, 2, 3].map((i) => lengthAt(x.shape, i))];
  const [down, across] = [Number(rows) / window, Number(columns) / window];
  const cut = g.reshape(x, [batch ?? 1, down, window, across, window, width ?? 1]);
  return g.reshape(g.transpose(cut, [0, 1, 3, 2, 4, 5]), [
    mulDims(batch ?? 1, down * across),
    window * window,
    width ?? 1,
  ]);
}

/** Back to [batch, rows, columns, width]. */
function fromWindows(
  { g }: Module,
  x: Tensor,
  [rows, columns]: Grid<number>,
  of: Tensor,
  window: number,
): Tensor {
  const [batch, width] = [dimAt(of.shape, 0), lengthAt(x.shape, 2)];
  const [down, across] = [rows / window, columns / window];
  const cut = g.reshape(x, [batch, down, across, window, window, width]);
  return g.reshape(g.transpose(cut, [0, 1, 3, 2, 4, 5]), [batch, rows, columns, width]);
}

/** Moves rows and columns by so many places, those that leave at one end to the other. */
function rolled({ g }: Module, x: Tensor, by: number): Tensor {
  return [1, 2].reduce((y, axis) => {
    const size = lengthAt(y.shape, axis);
    const cut = (size - by) % size;
    return cut === 0 ? y : g.concat([g.slice(y, axis, cut, size), g.slice(y, axis, 0, cut)], axis);
  }, x);
}

/** What keeps places apart that only rolling brought into one window: [windows, 1, area, area] */
function regionMask(w: Module, [rows, columns]: Grid<number>, window: number, shift: number): Tensor {
  const { g } = w;
  const region = (size: number): number[] =>
    Array.from({ length: size }, (_, i) => Number(i >= size - window) + Number(i >= size - shift));
  const down = g.constant(region(rows), [1, rows, 1, 1]);
  const across = g.constant(region(columns), [1, 1, columns, 1]);
  const area = window * window;
  const regions = toWindows(w, g.add(g.mul(down, 3), across), window); // [windows, area, 1]
  const count = (rows / window) * (columns / window);
  const apart = g.equal(regions, g.reshape(regions, [count, 1, area]));
  return g.reshape(g.where(apart, g.scalar(0), -100), [count, 1, area, area]);
}

/** What distances within a window add to scores: [1, heads, area, area] */
function windowBias(w: Module, heads: number, window: number): Tensor {
  const { g } = w;
  const side = 2 * window - 1;
  const area = window * window;
  const table = w.at("relative_position_bias").get("relative_position_bias_table", [side * side, heads]);
  const apart = (a: number, b: number): number => a - b + window - 1;
  const places = Array.from({ length: area * area }, (_, n) => {
    const [i, j] = [Math.floor(n / area), n % area];
    const down = apart(Math.floor(i / window), Math.floor(j / window));
    return down * side + apart(i % window, j % window);
  });
  const rows = g.gather(table, g.constant(places, [area * area], "i64"));
  return g.reshape(g.transpose(rows, [1, 0]), [1, heads, area, area]);
}

/** Attention within windows, of every second layer within windows that are moved by half. */
function windowed(w: Module, c: SwinConfig, x: Tensor, stage: Stage, isShifted: boolean): Tensor {
  const { g } = w;
  const { rows, columns, width, heads } = stage;
  const { window } = c;
  const shift = isShifted && Math.min(rows, columns) > window ? window >> 1 : 0;
  const upTo = (size: number): number => Math.ceil(size / window) * window;
  const padded = [upTo(rows), upTo(columns)] as const;
  const maps = g.reshape(x, [dimAt(x.shape, 0), rows, columns, width]);
  const whole = g.pad(g.pad(maps, 1, 0, padded[0] - rows), 2, 0, padded[1] - columns);
  const windows = toWindows(w, shift === 0 ? whole : rolled(w, whole, padded[0] - shift), window);
  const bias = windowBias(w, heads, window);
  const count = (padded[0] / window) * (padded[1] / window);
  const masked = (): Tensor => {
    const mask = g.unsqueeze(regionMask(w, padded, window, shift), 0);
    const area = window * window;
    const each = g.expand(mask, [dimAt(x.shape, 0), count, 1, area, area]);
    return g.add(g.reshape(each, [mulDims(dimAt(x.shape, 0), count), 1, area, area]), bias);
  };
  const form = { biased: c.qkvBias ? "qkv" : "", output: "o_proj" };
  const layer = { ...c, hiddenSize: width, heads, headDim: width / heads, inter: 0 };
  const attended = pictureAttention(w, layer, windows, form, shift === 0 ? bias : masked());
  const back = fromWindows(w, attended, padded, x, window);
  const placed = shift === 0 ? back : rolled(w, back, shift);
  const cut = g.slice(g.slice(placed, 1, 0, rows), 2, 0, columns);
  return g.reshape(cut, [dimAt(x.shape, 0), rows * columns, width]);
}

function layer(w: Module, c: SwinConfig, x: Tensor, stage: Stage, index: number): Tensor {
  const normed = w.layerNorm("layernorm_before", x, c.eps);
  const attended = w.dropout(
    "dropout",
    windowed(w.at("attention"), c, normed, stage, index % 2 === 1),
    c.dropout,
  );
  const y = meet(w, "attention", attended, x);
  const sizes = { ...c, hiddenSize: stage.width, inter: Math.floor(c.ratio * stage.width) };
  const inner = twoLayers(w.at("mlp"), sizes, w.layerNorm("layernorm_after", y, c.eps));
  return meet(w, "feedForward", w.dropout("dropout", inner, c.dropout), y);
}

/** Four neighbours become one of twice the width; sizes that are odd are padded. */
function merge(w: Module, x: Tensor, { rows, columns, width }: Stage): Tensor {
  const { g } = w;
  const batch = dimAt(x.shape, 0);
  const maps = g.reshape(x, [batch, rows, columns, width]);
  const even = g.pad(g.pad(maps, 1, 0, rows % 2), 2, 0, columns % 2);
  const [down, across] = [Math.ceil(rows / 2), Math.ceil(columns / 2)];
  const cut = g.transpose(g.reshape(even, [batch, down, 2, across, 2, width]), [0, 1, 3, 4, 2, 5]);
  const four = g.reshape(cut, [batch, down * across, 4 * width]);
  return w.linear("reduction", w.layerNorm("norm", four, EPS), 2 * width, { bias: false });
}

function embed(w: Module, c: SwinConfig, { pixels }: PictureInputs): Tensor {
  const { g } = w;
  // as many pixels as patches need
  const whole = [2, 3].reduce((y, axis, i) => {
    const size = lengthAt(y.shape, axis);
    return g.pad(y, axis, 0, (at(c.patch, i) - (size % at(c.patch, i))) % at(c.patch, i));
  }, pixels);
  const { x, grid } = patches(
    w.at("patch_embeddings"),
    "projection",
    { ...c, hiddenSize: c.embedDim },
    whole,
  );
  const normed = w.layerNorm("norm", x, EPS);
  if (!c.hasPositions) return w.dropout("dropout", normed, c.dropout);
  const table = w.get("position_embeddings", [1, c.grid[0] * c.grid[1], c.embedDim]);
  return w.dropout("dropout", g.add(normed, positionsFor(w, table, c.grid, grid)), c.dropout);
}

function stack(w: Module, c: SwinConfig, inputs: PictureInputs): StackOutput {
  const [height, width] = [c.lengths?.["height"] ?? 1, c.lengths?.["width"] ?? 1];
  let [rows, columns] = [Math.ceil(height / c.patch[0]), Math.ceil(width / c.patch[1])];
  let x = embed(w.at("embeddings"), c, inputs);
  for (const [i, depth] of c.depths.entries()) {
    const stage = { rows, columns, width: c.embedDim * 2 ** i, heads: at(c.heads, i) };
    const own = w.at(`encoder.layers.${i}`);
    for (let n = 0; n < depth; n++) {
      const block = own.at(`blocks.${n}`);
      x = w.g.block(block.path, { x }, {}, ({ x }) => ({ x: layer(block, c, x, stage, n) })).x;
    }
    if (i === c.depths.length - 1) break;
    x = merge(own.at("downsample"), x, stage);
    [rows, columns] = [Math.ceil(rows / 2), Math.ceil(columns / 2)];
  }
  return { hidden: w.layerNorm("layernorm", x, c.eps), present: [] };
}

/** Attention in windows that move. arXiv 2103.14030. Reference: transformers/models/swin */
export const swin: Architecture<SwinConfig, PictureInputs> = {
  modelTypes: ["swin"],
  prefix: "swin",
  roles: VIT_ROLES,
  inputs: pictureInputs,
  parse: (json) => readConfig(json, read),
  checkpoint: {
    modules: [
      [
        "attention.self.relative_position_bias_table",
        "attention.relative_position_bias.relative_position_bias_table",
      ],
      ["attention.self.query", "attention.q_proj"],
      ["attention.self.key", "attention.k_proj"],
      ["attention.self.value", "attention.v_proj"],
      ...VIT_MODULES.slice(-3),
    ],
  },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier", w.g.mean(hidden, 1), c.numLabels),
    hidden: (_w, _c, hidden) => hidden,
    named: { poolerOutput: (w, _c, hidden) => w.g.mean(hidden, 1) },
  },
  newModules: ["classifier"],
};
