import type { Loss } from "./loss.js";
import { sizeOf } from "./loss.js";

/** Mean square error, over all numbers of all rows. */
export const regression: Loss = {
  name: "regression",
  columns: { labels: { dtype: "f32", shape: ["batch", "outputs"] } },
  write: ({ g, logits, column }) => {
    const y = logits();
    return { sum: g.sum(g.square(g.sub(y, column("labels")))), count: g.size(sizeOf(y)) };
  },
};
