import type { Dim } from "../../graph/dims.js";
import { dimAt, subDims } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";

/**
 * Numbers of the real tokens, 0.. in each row, -1 at padding: mask [batch, total] (i64) -> [batch, length],
 * of the last ones.
 */
export function realPositions(g: Graph, mask: Tensor, length: Dim): Tensor {
  const total = dimAt(mask.shape, 1);
  const numbered = g.sub(g.mul(g.cumsum(mask, 1), mask), g.scalar(1, "i64"));
  return g.slice(numbered, 1, subDims(total, length), total);
}
