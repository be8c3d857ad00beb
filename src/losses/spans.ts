import type { Loss } from "./loss.js";
import { countOf } from "./loss.js";

/** Cross-entropy of the start and of the end over all positions of a row, averaged. */
export const spans: Loss = {
  name: "spans",
  columns: {
    startPositions: { dtype: "i64", shape: ["batch"], isPlace: true },
    endPositions: { dtype: "i64", shape: ["batch"], isPlace: true },
  },
  padding: true,
  write: ({ g, logits, column }) => {
    const [starts, ends] = g.split(logits(), -1, [1, 1]);
    const [start, end] = [column("startPositions"), column("endPositions")];
    const sum = g.add(
      g.sum(g.crossEntropy(g.squeeze(starts, -1), start)),
      g.sum(g.crossEntropy(g.squeeze(ends, -1), end)),
    );
    return { sum, count: g.add(countOf(g, start), countOf(g, end)) };
  },
};
