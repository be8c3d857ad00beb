import { dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { LossColumn, LossContext } from "./loss.js";
import { unit } from "./vectors.js";

/**
 * Which of the batch's texts are a row's: an anchor, its positive, negatives; -1 where a row has fewer than
 * others.
 */
export const textsColumn: LossColumn = { dtype: "i64", shape: ["rows", "texts"] };

/** How near the two texts of a row are. */
export const scoresColumn: LossColumn = { dtype: "f32", shape: ["rows"] };

/** The vectors of rows of texts. */
export interface RowVectors {
  readonly anchors: Tensor; // [rows, 1, hidden]
  readonly positives: Tensor; // [rows, 1, hidden]
  /** The positive and the negatives of each row. */
  readonly candidates: Tensor; // [rows, texts - 1, hidden]
  /** 1 for a candidate that there is, else 0. */
  readonly isThere: Tensor; // [rows, texts - 1]
}

/** Vectors by what their texts are in a row. */
export function rowVectors({ g, vectors, column }: LossContext): RowVectors {
  const texts = column("texts");
  const width = dimAt(texts.shape, 1);
  const of = g.gather(vectors(), g.max(texts, 0)); // [batch, hidden] -> [rows, texts, hidden]
  return {
    anchors: g.slice(of, 1, 0, 1),
    positives: g.slice(of, 1, 1, 2),
    candidates: g.slice(of, 1, 1, width),
    isThere: g.cast(g.lessEqual(0, g.slice(texts, 1, 1, width)), "f32"),
  };
}

/** cos(x, y) along the last axis */
export function cosine(g: Graph, x: Tensor, y: Tensor): Tensor {
  return g.sum(g.mul(unit(g, x), unit(g, y)), -1);
}
