import { axes, dimAt, mulDims, subDims } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";

/**
 * The hidden state of each row's rightmost token that is not padding:
 * hidden [batch, length, hidden], mask [batch, past + length] (i64) -> [batch, hidden].
 */
export function lastToken(g: Graph, hidden: Tensor, mask: Tensor): Tensor {
  const [batch, length, size] = axes(hidden.shape, 3);
  const total = dimAt(mask.shape, 1);
  const past = g.sub(g.size(total, "i64"), g.size(length, "i64"));
  const last = g.sub(g.amax(g.mul(g.iota(total), mask), 1), past); // [batch]
  const row = g.add(g.mul(g.iota(batch), g.size(length, "i64")), g.max(last, 0));
  return g.gather(g.reshape(hidden, [mulDims(batch, length), size]), row);
}

/** hidden [batch, length, hidden] -> the first position's, [batch, hidden] */
export function firstToken(g: Graph, hidden: Tensor): Tensor {
  return g.squeeze(g.slice(hidden, 1, 0, 1), 1);
}

/**
 * The mean of the real tokens' vectors: hidden [batch, length, width], mask [batch, past + length] (i64) ->
 * [batch, width].
 */
export function meanToken(g: Graph, hidden: Tensor, mask: Tensor): Tensor {
  const [length, total] = [dimAt(hidden.shape, 1), dimAt(mask.shape, 1)];
  const own = g.slice(mask, 1, subDims(total, length), total);
  const real = g.unsqueeze(g.cast(g.less(0, own), "f32"), -1); // [batch, length, 1]
  return g.div(g.sum(g.mul(hidden, real), 1), g.sum(real, 1));
}
