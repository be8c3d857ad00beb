import type { Loss } from "./loss.js";
import { cosine, rowVectors, scoresColumn, textsColumn } from "./texts.js";

/** What a pair that does not count adds to its exponent. */
const NEVER = 1e9;

/** How scored pairs are put into their order. */
export interface CosentOptions {
  /** Similarities are multiplied with it: the inverse of a temperature. @default 20 */
  readonly scale?: number;
}

/**
 * Pairs with a higher score are to be nearer than pairs with a lower one: log(1 + sum exp(scale * (cos i -
 * cos j))) over all i, j of the batch with score i < score j. It is one number for a batch. Reference:
 * sentence_transformers/sentence_transformer/losses/cosent.py
 */
export function cosentLoss({ scale = 20 }: CosentOptions = {}): Loss {
  return {
    name: "cosent",
    columns: { texts: textsColumn, labels: scoresColumn },
    write(c) {
      const { g, column } = c;
      const { anchors, positives } = rowVectors(c);
      const near = g.mul(cosine(g, anchors, positives), scale); // [rows, 1]
      const scores = g.unsqueeze(column("labels"), 1); // [rows, 1]
      const isLess = g.cast(g.less(scores, g.transpose(scores, [1, 0])), "f32"); // [rows, rows]
      const apart = g.sub(near, g.transpose(near, [1, 0]));
      const exponents = g.add(apart, g.mul(g.sub(isLess, 1), NEVER));
      const most = g.detach(g.max(g.amax(exponents), 0));
      const terms = g.add(g.sum(g.exp(g.sub(exponents, most))), g.exp(g.neg(most)));
      return { sum: g.add(g.log(terms), most), count: g.scalar(1) };
    },
  };
}

/** Of scale 20. */
export const cosent: Loss = cosentLoss();
