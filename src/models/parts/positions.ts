import type { Dim } from "../../graph/dims.js";
import { dimAt, subDims } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";
import type { TextInputs } from "../model.js";
import { firstQuery } from "./attention.js";

/**
 * Numbers of the real tokens, 0.. in each row, -1 at padding: mask [batch, total] (i64) -> [batch, length],
 * of the last ones. A single one is that of the last real token, behind which a cache may have room.
 */
export function realPositions(g: Graph, mask: Tensor, length: Dim): Tensor {
  const total = dimAt(mask.shape, 1);
  const numbered = g.sub(g.mul(g.cumsum(mask, 1), mask), g.scalar(1, "i64"));
  if (length === 1) return g.amax(numbered, 1, true);
  return g.slice(numbered, 1, subDims(total, length), total);
}

/**
 * Positions that count tokens which are not the padding token, from `first` on, the number after that
 * token's id, which itself stands at padding. Behind a prompt all tokens count.
 */
export function positionsAfterPadding(g: Graph, first: number, x: TextInputs): Tensor {
  const from = g.scalar(first, "i64");
  const length = dimAt(x.positions.shape, 1);
  if (length !== x.ids.shape[1]) return g.add(x.positions, from);
  const padding = g.scalar(first - 1, "i64");
  const real = g.cast(g.not(g.equal(x.ids, padding)), "i64");
  const past = g.mul(firstQuery(g, x.mask, length), real);
  return g.add(g.add(realPositions(g, real, length), past), from);
}
