import type { Loss } from "./loss.js";
import { countOf } from "./loss.js";

/** Cross-entropy over the labelled tokens; the head is computed only there. */
export const tokens: Loss = {
  name: "tokens",
  columns: { labels: { dtype: "i64", per: "label" } },
  write: ({ g, labelled, column }) => {
    const labels = column("labels");
    return { sum: g.sum(g.crossEntropy(labelled(), labels)), count: countOf(g, labels) };
  },
};
