import type { Heads, ModelConfig } from "./model.js";
import { lastToken } from "./pooling.js";

/** The heads of a plain decoder: `lm_head`, tied to `embedding` (a weight's name) where the config says so, and `score`. */
export function decoderHeads<C extends ModelConfig>(embedding: string, bias = false): Heads<C> {
  return {
    CAUSAL_LM: (w, c, hidden) => {
      const tied = c.tied ? embedding : undefined;
      return w.linear("lm_head", hidden, c.vocabSize, { bias, tied });
    },
    SEQ_CLS: (w, c, hidden, mask) =>
      w.linear("score", lastToken(w.g, hidden, mask), c.numLabels, { bias: false }),
    FEATURE_EXTRACTION: (_w, _c, hidden) => hidden,
  };
}
