import { axes } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { Pooling } from "../models/model.js";

/** What holds where neither a model nor its user says how texts become vectors. */
export const MEAN: Pooling = { tokens: "mean", normalize: false };

/**
 * A vector for each text: hidden [batch, length, hidden], mask [batch, length] (i64) -> [batch, hidden].
 * Reference: sentence_transformers/sentence_transformer/modules/pooling.py
 */
export function textVectors(g: Graph, hidden: Tensor, mask: Tensor, { tokens, normalize }: Pooling): Tensor {
  const pooled = tokens === "mean" ? meanToken(g, hidden, mask) : endToken(g, hidden, mask, tokens);
  return normalize ? unit(g, pooled) : pooled;
}

/** x / |x| along the last axis */
export function unit(g: Graph, x: Tensor): Tensor {
  return g.div(x, g.sqrt(g.max(g.sum(g.square(x), -1, true), 1e-24)));
}

function meanToken(g: Graph, hidden: Tensor, mask: Tensor): Tensor {
  const isReal = g.unsqueeze(g.cast(mask, "f32"), -1); // [batch, length, 1]
  return g.div(g.sum(g.mul(hidden, isReal), 1), g.max(g.sum(isReal, 1), 1e-9));
}

/** The first or the last token that is not padding, on whichever side that stands. */
function endToken(g: Graph, hidden: Tensor, mask: Tensor, end: "cls" | "last"): Tensor {
  const [batch, length] = axes(mask.shape, 2);
  const [all, places] = [g.size(length, "i64"), g.iota(length)];
  const fromEnd = g.sub(g.sub(all, 1), places);
  const most = (x: Tensor): Tensor => g.amax(g.mul(x, mask), 1); // [batch]
  const place = end === "last" ? most(places) : g.sub(g.sub(all, 1), most(fromEnd));
  return g.gather(g.rows(hidden), g.add(g.mul(g.iota(batch), all), place));
}
