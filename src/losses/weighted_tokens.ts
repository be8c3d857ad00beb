import type { Loss } from "./loss.js";
import { countOf } from "./loss.js";

/** Cross-entropy over the labelled tokens, each times a weight, over their number. */
export const weightedTokens: Loss = {
  name: "weighted tokens",
  columns: { labels: { dtype: "i64", per: "label" }, lossWeights: { dtype: "f32", per: "label" } },
  write: ({ g, labelled, column }) => {
    const labels = column("labels");
    const sum = g.sum(g.mul(g.crossEntropy(labelled(), labels), column("lossWeights")));
    return { sum, count: countOf(g, labels) };
  },
};
