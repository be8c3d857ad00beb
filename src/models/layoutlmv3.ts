import { activate } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { InputsFor } from "../graph/inputs.js";
import { rowInput } from "../graph/inputs.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { addAndNorm, bert, embed, readBert } from "./bert.js";
import type { Architecture, ModelConfig, StackOutput, TaskType } from "./model.js";
import { attend, paddingBias, splitHeads } from "./parts/attention.js";
import type { BoxedInputs, BoxTables } from "./parts/boxes.js";
import { boxedInputs, embedBoxes, patchBoxes } from "./parts/boxes.js";
import type { Fields } from "./parts/config.js";
import { MOST, readConfig } from "./parts/config.js";
import { classify, denseHead, twoLayerHead } from "./parts/encoder_heads.js";
import { repeat } from "./parts/layers.js";
import type { PatchConfig, PictureInputs } from "./parts/pictures.js";
import { patches, tokenFor } from "./parts/pictures.js";
import { positionsAfterPadding } from "./parts/positions.js";
import { bucketTable } from "./parts/relative.js";

/** Distances that are grouped, and from where on all are one group. */
interface Reach {
  readonly buckets: number;
  readonly farthest: number;
}

interface LayoutLMv3Config extends BertConfig, BoxTables, PatchConfig {
  readonly boxPositions: number;
  /** It reads the page's picture. */
  readonly sees: boolean;
  /** What scores gain by the distance of tokens, and by that of their boxes. */
  readonly byOrder: Reach | undefined;
  readonly byPlace: Reach | undefined;
  /** Its head reads what stands at the picture's patches too. */
  readonly isWhole: boolean;
}

/** The picture's patches have no cached keys and values; Python's model takes none either. */
const NOT_CACHED: Pick<ModelConfig, "cache"> = { cache: { layers: 0, kvHeads: 0, headDim: 0 } };

function read(f: Fields, task: TaskType | undefined): LayoutLMv3Config {
  const c = readBert(f);
  const [size, patch] = [f.size("input_size", 224), f.pair("patch_size", 16)];
  const grid = [Math.floor(size / patch[0]), Math.floor(size / patch[1])] as const;
  const sees = f.flag("visual_embed", true);
  if (!f.flag("text_embed", true)) f.unbuilt(`"text_embed" is false, and this model reads words`);
  if (grid[0] === 0 || grid[1] === 0) f.fault(`pictures of ${size} have no patch of ${patch}`);
  const reach = (bins: string, most: string, usual: readonly [number, number]): Reach => ({
    buckets: f.size(bins, usual[0], MOST.table),
    farthest: f.size(most, usual[1], MOST.table),
  });
  const byOrder = f.flag("has_relative_attention_bias", true);
  const byPlace = byOrder && f.flag("has_spatial_attention_bias", true);
  const channels = f.size("num_channels", 3);
  return {
    ...{ ...c, ...NOT_CACHED, firstPosition: (c.padTokenId ?? 1) + 1 },
    eps: f.number("layer_norm_eps", 1e-5),
    boxPositions: f.count("max_2d_position_embeddings", 1024),
    coordinateSize: f.size("coordinate_size", 128),
    shapeSize: f.size("shape_size", 128),
    ...{ channels, patch, grid, sees },
    lengths: { channels, height: size, width: size },
    unread: sees ? [] : ["pixels"],
    byOrder: byOrder ? reach("rel_pos_bins", "max_rel_pos", [32, 128]) : undefined,
    byPlace: byPlace ? reach("rel_2d_pos_bins", "max_rel_2d_pos", [64, 256]) : undefined,
    isWhole: task === "QUESTION_ANS",
  };
}

interface Page extends BoxedInputs, PictureInputs {}

/** norm(cls, patches + positions): [batch, 1 + patches, hidden] */
function embedPicture(w: Module, c: LayoutLMv3Config, pixels: Tensor): Tensor {
  const { x } = patches(w.at("patch_embed"), "proj", c, pixels);
  const tokens = w.g.concat([tokenFor(w, w.get("cls_token", [1, 1, c.hiddenSize]), x), x], 1);
  const table = w.get("pos_embed", [1, 1 + c.grid[0] * c.grid[1], c.hiddenSize]);
  return w.layerNorm("norm", w.g.add(tokens, table), 1e-6);
}

/** What scores gain by places [..., keys] of queries and keys: [..., heads, keys, keys]. */
function byDistance(
  w: Module,
  name: string,
  places: Tensor,
  { buckets, farthest }: Reach,
  heads: number,
): Tensor {
  const { g } = w;
  const ahead = g.sub(g.unsqueeze(places, -2), g.unsqueeze(places, -1));
  const table = g.constant(bucketTable(buckets, farthest, true), [2 * farthest + 1], "i64");
  const bucket = g.gather(table, g.add(g.max(g.min(ahead, farthest), -farthest), farthest));
  // transformers looks the numbers up without a gradient
  const gains = g.detach(g.transpose(w.get(`${name}.weight`, [heads, buckets]), [1, 0]));
  const found = g.gather(gains, bucket); // [..., keys, keys, heads]
  return g.transpose(found, found.shape.length === 3 ? [2, 0, 1] : [0, 3, 1, 2]);
}

/** All that is added to scores, [batch, heads or 1, keys or 1, keys]. */
function biases(w: Module, c: LayoutLMv3Config, x: Page, mask: Tensor): Tensor {
  const { g } = w;
  const padding = paddingBias(g, mask);
  if (c.byOrder === undefined) return padding;
  const own = c.sees ? patchBoxes(c.grid) : [];
  const length = dimAt(x.positions.shape, 1);
  const order = c.sees ? g.concat([g.iota(length), g.iota(own.length)], 0) : g.iota(length);
  const gained = [g.unsqueeze(byDistance(w, "rel_pos_bias", order, c.byOrder, c.heads), 0)];
  for (const [side, name] of [
    [0, "rel_pos_x_bias"],
    [3, "rel_pos_y_bias"],
  ] as const)
    if (c.byPlace !== undefined)
      gained.push(byDistance(w, name, placesOf(g, x.bbox, own, side), c.byPlace, c.heads));
  const sum = gained.reduce((a, b) => g.add(a, b));
  return g.add(g.mul(sum, c.headDim ** -0.5), padding);
}

/** One side of all boxes, those of words and then the picture's: [batch, keys], i64. */
function placesOf(g: Graph, bbox: Tensor, own: readonly (readonly number[])[], side: number): Tensor {
  const words = g.squeeze(g.slice(bbox, 2, side, side + 1), 2);
  if (own.length === 0) return words;
  const constant = g.constant(
    own.map((box) => box[side] ?? 0),
    [1, own.length],
    "i64",
  );
  return g.concat([words, g.expand(constant, [dimAt(words.shape, 0), own.length])], 1);
}

function stack(w: Module, c: LayoutLMv3Config, x: Page): StackOutput {
  const { g } = w;
  const at = w.padded; // words and patches lie side by side: no padding is left out
  const positions = positionsAfterPadding(g, c.firstPosition, x);
  const inner = at.at("embeddings");
  const words = embed(inner, c, { ...x, positions }, g.concat(embedBoxes(inner, c, x.bbox), -1));
  const [start, mask] = c.sees ? withPicture(at, c, words, x) : [words, x.mask];
  const shared = { bias: biases(at.at("encoder"), c, x, mask) };
  const { hidden } = repeat(at.at("encoder.layer"), c.layers, start, undefined, shared, (w, x, { bias }) => {
    const attended = attention(w.at("attention"), c, x, bias);
    const inner = activate(g, c.activation, w.linear("intermediate.dense", attended, c.inter));
    return { x: addAndNorm(w.at("output"), "feedForward", c, inner, attended) };
  });
  if (c.isWhole) return { hidden, present: [] };
  return { hidden: w.pack(g.slice(hidden, 1, 0, dimAt(words.shape, 1))), present: [] };
}

/** Words and then the picture, normed, and the mask of both. */
function withPicture(w: Module, c: LayoutLMv3Config, words: Tensor, x: Page): [Tensor, Tensor] {
  const { g } = w;
  const picture = embedPicture(w, c, x.pixels);
  const normed = w.layerNorm("LayerNorm", g.concat([words, picture], 1), c.eps);
  const seen = g.expand(g.scalar(1, "i64"), [dimAt(x.mask.shape, 0), dimAt(picture.shape, 1)]);
  return [w.dropout("dropout", normed, c.dropout), g.concat([x.mask, seen], 1)];
}

function attention(w: Module, c: LayoutLMv3Config, x: Tensor, bias: Tensor): Tensor {
  const at = w.at("self");
  const project = (name: string): Tensor =>
    splitHeads(at, at.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const options = { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout };
  const mixed = attend(at, project("query"), { k: project("key"), v: project("value") }, options);
  return addAndNorm(w.at("output"), "attention", c, at.output(mixed), x);
}

const inputs: InputsFor<Page> = {
  ...boxedInputs,
  pixels: rowInput("pixelValues", "f32", ["channels", "height", "width"], {
    means: "pages as the model's image processor makes them; visual_embed: false in config.json reads none",
  }),
};

/** From so many labels on the head of tokens has two layers. */
const MANY = 10;

/**
 * Words, their boxes and the page's picture in one encoder, whose scores gain by distances on the page. arXiv
 * 2204.08387. Reference: transformers/models/layoutlmv3
 */
export const layoutlmv3: Architecture<LayoutLMv3Config, Page> = {
  modelTypes: ["layoutlmv3"],
  prefix: "layoutlmv3",
  roles: { targets: undefined },
  inputs,
  parse: (json, task) => readConfig(json, (f) => read(f, task)),
  stack,
  heads: {
    rowLabels: denseHead("tanh"),
    tokenLabels: (w, c, hidden) => {
      if (c.numLabels < MANY) return classify(w, { ...c, classifierDropout: c.dropout }, hidden);
      const dropped = w.dropout("dropout", hidden, c.dropout);
      return twoLayerHead(w.at("classifier"), c, dropped, "tanh", c.numLabels);
    },
    spanEnds: (w, c, hidden) => twoLayerHead(w.at("qa_outputs"), c, hidden, "tanh", 2),
    hidden: (_, __, hidden) => hidden,
  },
  newModules: bert.newModules,
};
