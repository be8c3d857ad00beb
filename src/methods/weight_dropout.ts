import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { Place } from "./method.js";

/** What of a change of weights is dropped in training, once per pass for all samples. */
export interface WeightDropout {
  /** Share of the outputs that keep the base's weights. */
  readonly rankDropout: number;
  /** Whether the others make up for these. */
  readonly isScaled: boolean;
  /** Share of the passes in which the whole layer is the base's. */
  readonly moduleDropout: number;
}

/** A layer's change [..., outDim] with what is dropped of it at 0. */
export function dropChange(
  { g, draw }: Pick<Place, "g" | "draw">,
  change: Tensor,
  outDim: number,
  { rankDropout, isScaled, moduleDropout }: WeightDropout,
): Tensor {
  const rows = rankDropout > 0 ? kept(g, draw("ranks", [outDim]), rankDropout) : undefined;
  const module = moduleDropout > 0 ? kept(g, draw("module", [1]), moduleDropout) : undefined;
  const scaled = rows && isScaled ? g.div(rows, g.max(g.mean(rows, 0, true), 1 / outDim)) : rows;
  return [scaled, module].reduce<Tensor>((y, mask) => (mask === undefined ? y : g.mul(y, mask)), change);
}

/** 1 with probability 1 - p, else 0. */
function kept(g: Graph, drawn: Tensor | undefined, p: number): Tensor | undefined {
  return drawn && g.cast(g.less(p, drawn), "f32");
}

/**
 * Which of `blocks` blocks stay, [blocks]: 1, or 0 for `count` of them, which are those that drew the least.
 */
export function keptBlocks(g: Graph, drawn: Tensor, blocks: number, count: number): Tensor {
  const below = g.cast(g.less(g.reshape(drawn, [1, blocks]), g.reshape(drawn, [blocks, 1])), "f32");
  return g.cast(g.lessEqual(count, g.sum(below, 1)), "f32"); // place in the order of what was drawn
}
