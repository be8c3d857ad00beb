import type { Loss } from "./loss.js";
import type { LabelLossOptions } from "./tokens.js";
import { weighed } from "./tokens.js";

/** Cross-entropy of one class a row. */
export function classesLoss({ smoothing = 0, weights }: LabelLossOptions = {}): Loss {
  return {
    name: "classes",
    columns: {
      labels: { dtype: "i64", shape: ["batch"] },
      ...(weights === undefined ? {} : { [weights]: { dtype: "f32", shape: ["batch"] } }),
    },
    write: (c) => {
      const labels = c.column("labels");
      return weighed(c, labels, c.g.crossEntropy(c.logits(), labels, smoothing), weights);
    },
  };
}

export const classes: Loss = classesLoss();
