import type { Loss } from "./loss.js";
import { countOf } from "./loss.js";

/** One class a row. */
export const classes: Loss = {
  name: "classes",
  columns: { labels: { dtype: "i64", shape: ["batch"] } },
  write: ({ g, logits, column }) => {
    const labels = column("labels");
    return { sum: g.sum(g.crossEntropy(logits(), labels)), count: countOf(g, labels) };
  },
};
