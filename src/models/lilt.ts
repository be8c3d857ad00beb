import { activate } from "../graph/activations.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { addAndNorm, bert, embed, readBert } from "./bert.js";
import type { Architecture, ModelConfig, StackOutput } from "./model.js";
import { attend, paddingBias, splitHeads } from "./parts/attention.js";
import type { BoxedInputs, BoxTables } from "./parts/boxes.js";
import { boxedInputs, embedBoxes } from "./parts/boxes.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { repeat } from "./parts/layers.js";
import { positionsAfterPadding } from "./parts/positions.js";
import { robertaHeads } from "./roberta.js";

interface LiltConfig extends BertConfig, BoxTables {
  readonly boxPositions: number;
  /** Widths of the stream of boxes: its own, of a head, and within its feed-forward layers. */
  readonly boxes: { readonly hiddenSize: number; readonly headDim: number; readonly inter: number };
}

/** Nothing is cached: Python's model takes no keys and values of a prefix either. */
const NOT_CACHED: Pick<ModelConfig, "cache"> = { cache: { layers: 0, kvHeads: 0, headDim: 0 } };

function read(f: Fields): LiltConfig {
  const c = readBert(f);
  const ratio = f.size("channel_shrink_ratio", 4);
  const part = (size: number): number => Math.floor(size / ratio);
  if (c.headDim % ratio !== 0)
    f.fault(`heads of ${c.headDim} are not divided by "channel_shrink_ratio" ${ratio}`);
  const size = Math.floor(c.hiddenSize / 6);
  if (size * 6 !== c.hiddenSize) f.fault(`"hidden_size" ${c.hiddenSize} is not divided by 6`);
  return {
    ...{ ...c, ...NOT_CACHED, firstPosition: (c.padTokenId ?? 0) + 1 },
    boxPositions: f.count("max_2d_position_embeddings", 1024),
    ...{ coordinateSize: size, shapeSize: size },
    boxes: { hiddenSize: part(c.hiddenSize), headDim: part(c.headDim), inter: part(c.inter) },
  };
}

/** LayerNorm(dense(the six tables side by side) + position): [batch, virtual + seq, narrow] */
function embedLayout(w: Module, c: LiltConfig, { bbox, positions }: BoxedInputs): Tensor {
  const { hiddenSize } = c.boxes;
  const boxes = w.linear("box_linear_embeddings", w.g.concat(embedBoxes(w, c, bbox), -1), hiddenSize);
  const limit = c.maxPositions - c.firstPosition;
  const places = w.embedding("box_position_embeddings", positions, c.maxPositions, hiddenSize, limit);
  const normed = w.layerNorm("LayerNorm", w.pack(w.g.add(boxes, places)), c.eps);
  return w.dropout("dropout", normed, c.dropout);
}

/** LayerNorm(x + dropout(dense(y))) of the stream of boxes. */
function addNarrow(w: Module, c: LiltConfig, y: Tensor, x: Tensor): Tensor {
  const dense = w.dropout("dropout", w.linear("dense", y, c.boxes.hiddenSize), c.dropout);
  return w.output(w.layerNorm("LayerNorm", w.g.add(dense, x), c.eps));
}

/**
 * Both streams attend by one sum of scores, q k / sqrt(d) + q' k' / sqrt(d'): the softmax is of products of
 * vectors that lie side by side.
 */
function attention(w: Module, c: LiltConfig, x: Tensor, layout: Tensor, bias: Tensor): [Tensor, Tensor] {
  const { g } = w;
  const at = w.at("self");
  const wide = (name: string): Tensor => splitHeads(at, at.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const narrow = (name: string): Tensor =>
    splitHeads(at, at.linear(`layout_${name}`, layout, c.boxes.hiddenSize), c.heads, c.boxes.headDim);
  const scaled = (q: Tensor, dim: number): Tensor => g.mul(q, dim ** -0.5);
  const q = g.concat([scaled(wide("query"), c.headDim), scaled(narrow("query"), c.boxes.headDim)], -1);
  const k = g.concat([wide("key"), narrow("key")], -1);
  const options = { scale: 1, bias, dropout: c.attentionDropout };
  return [attend(at, q, { k, v: wide("value") }, options), attend(at, q, { k, v: narrow("value") }, options)];
}

function stack(w: Module, c: LiltConfig, x: BoxedInputs): StackOutput {
  const { g } = w;
  const read = { ...x, positions: positionsAfterPadding(g, c.firstPosition, x) };
  const start = embedLayout(w.at("layout_embeddings"), c, read);
  const shared = { bias: paddingBias(g, x.mask) };
  const { hidden } = repeat(
    w.at("encoder.layer"),
    c.layers,
    embed(w.at("embeddings"), c, read),
    undefined,
    shared,
    (w, x, { bias }, _past, _i, { layout = start }) => {
      const at = w.at("attention");
      const [mixed, mixedBoxes] = attention(at, c, x, layout, bias);
      const attended = addAndNorm(at.at("output"), "attention", c, mixed, x);
      const boxes = addNarrow(at.at("layout_output"), c, mixedBoxes, layout);
      const inner = activate(g, c.activation, w.linear("intermediate.dense", attended, c.inter));
      const narrow = activate(g, c.activation, w.linear("layout_intermediate.dense", boxes, c.boxes.inter));
      return {
        x: addAndNorm(w.at("output"), "feedForward", c, inner, attended),
        beside: { layout: addNarrow(w.at("layout_output"), c, narrow, boxes) },
      };
    },
    { own: (i, beside) => ({ layout: beside[i - 1]?.["layout"] ?? start }) },
  );
  return { hidden, present: [] };
}

/**
 * RoBERTa beside a narrower stream of boxes, whose scores are added both ways. arXiv 2202.13669. Reference:
 * transformers/models/lilt
 */
export const lilt: Architecture<LiltConfig, BoxedInputs> = {
  modelTypes: ["lilt"],
  prefix: "lilt",
  roles: { targets: undefined },
  inputs: boxedInputs,
  parse: (json) => readConfig(json, read),
  stack,
  heads: robertaHeads,
  newModules: bert.newModules,
};
