import type { Loss } from "./loss.js";
import { sizeOf } from "./loss.js";

/** Binary cross-entropy with logits: max(y, 0) - y t + log(1 + exp(-|y|)). */
export const multiLabel: Loss = {
  name: "multiLabel",
  columns: { labels: { dtype: "f32", shape: ["batch", "outputs"] } },
  write: ({ g, logits, column }) => {
    const y = logits();
    const softplus = g.log(g.add(g.exp(g.neg(g.abs(y))), 1));
    const losses = g.add(g.sub(g.relu(y), g.mul(y, column("labels"))), softplus);
    return { sum: g.sum(losses), count: g.size(sizeOf(y)) };
  },
};
