import { axes } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { Loss } from "./loss.js";
import { cosine, rowVectors, textsColumn } from "./texts.js";

/** How far texts are to be from each other. */
export interface TripletOptions {
  /** @default "euclidean" */
  readonly distance?: "euclidean" | "cosine" | "manhattan";
  /** By how much a negative is to be farther from the anchor than the positive. @default 5 */
  readonly margin?: number;
}

const distances: {
  readonly [D in NonNullable<TripletOptions["distance"]>]: (g: Graph, x: Tensor, y: Tensor) => Tensor;
} = {
  cosine: (g, x, y) => g.sub(1, cosine(g, x, y)),
  euclidean: (g, x, y) => g.sqrt(g.max(g.sum(g.square(g.sub(x, y)), -1), 1e-24)),
  manhattan: (g, x, y) => g.sum(g.abs(g.sub(x, y)), -1),
};

/**
 * relu(distance(anchor, positive) - distance(anchor, negative) + margin), the mean over all negatives. With
 * distances from 0 to 2 (cosine) a margin of 5 is never reached: give one below 1. Reference:
 * sentence_transformers/sentence_transformer/losses/triplet.py
 */
export function tripletLoss({ distance = "euclidean", margin = 5 }: TripletOptions = {}): Loss {
  return {
    name: "triplet",
    columns: { texts: textsColumn },
    write(c) {
      const { g } = c;
      const { anchors, positives, candidates, isThere } = rowVectors(c);
      const [, each] = axes(isThere.shape, 2);
      const negatives = (x: Tensor): Tensor => g.slice(x, 1, 1, each);
      const far = distances[distance];
      // [rows, negatives]
      const margins = g.sub(far(g, anchors, positives), far(g, anchors, negatives(candidates)));
      const isNegative = negatives(isThere);
      return { sum: g.sum(g.mul(g.relu(g.add(margins, margin)), isNegative)), count: g.sum(isNegative) };
    },
  };
}

/** Euclidean distances, a margin of 5. */
export const triplet: Loss = tripletLoss();
