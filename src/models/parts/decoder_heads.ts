import type { Heads, ModelConfig } from "../model.js";
import { lastToken } from "./pooling.js";

/**
 * The heads of a plain decoder: `lm_head`, tied to `embedding` (a weight's name) where the config says so,
 * and `score`.
 */
export function decoderHeads<C extends ModelConfig>(embedding: string, bias = false): Heads<C> {
  return {
    vocabulary: (w, c, hidden) => {
      const tied = c.tied ? embedding : undefined;
      return w.linear("lm_head", hidden, c.vocabSize, { bias, tied });
    },
    rowLabels: (w, c, hidden, mask) =>
      w.linear("score", lastToken(w.g, hidden, mask), c.numLabels, { bias: false }),
    hidden: (_w, _c, hidden) => hidden,
  };
}
