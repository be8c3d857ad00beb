import { dimAt } from "../graph/dims.js";
import type { Loss } from "./loss.js";
import { cosine, rowVectors, scoresColumn, textsColumn } from "./texts.js";

/**
 * (cos(anchor, positive) - score)^2
 * Reference: sentence_transformers/sentence_transformer/losses/cosine_similarity.py
 */
export const cosineSimilarity: Loss = {
  name: "cosineSimilarity",
  columns: { texts: textsColumn, labels: scoresColumn },
  write(c) {
    const { g, column } = c;
    const { anchors, positives } = rowVectors(c);
    const scores = column("labels");
    const near = g.squeeze(cosine(g, anchors, positives), 1); // [rows]
    return { sum: g.sum(g.square(g.sub(near, scores))), count: g.size(dimAt(scores.shape, 0)) };
  },
};
