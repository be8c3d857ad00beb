import type { Heads, ModelConfig } from "../model.js";
import { cap } from "./attention.js";
import type { DecoderConfig } from "./decoder_config.js";
import { lastToken } from "./pooling.js";

/** Heads that an architecture has for certain. */
export type HeadsOf<C, K extends keyof Heads<C>> = Required<Pick<Heads<C>, K>>;

/**
 * The heads of a plain decoder: `lm_head`, tied to `embedding` (a weight's name) where the config says so,
 * and `score`.
 */
export function decoderHeads<C extends ModelConfig>(
  embedding: string,
  bias = false,
): HeadsOf<C, "vocabulary" | "rowLabels" | "hidden"> {
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

const plain = decoderHeads<DecoderConfig>("model.embed_tokens.weight");

/** The heads of a decoder of Llama's kind that scales or caps its logits, where the config says so. */
export const llamaHeads: HeadsOf<DecoderConfig, "vocabulary" | "rowLabels" | "tokenLabels" | "hidden"> = {
  ...plain,
  /** Logits are scaled by scaling what the head reads, so that it stays a plain product. */
  vocabulary: (w, c, hidden) => {
    const scaled = c.logitScale === 1 ? hidden : w.g.mul(hidden, c.logitScale);
    const logits = plain.vocabulary(w, c, scaled);
    return c.logitCap === undefined ? logits : cap(w.g, logits, c.logitCap);
  },
  tokenLabels: (w, c, hidden) =>
    w.linear("score", w.dropout("dropout", hidden, c.classifierDropout), c.numLabels),
};

/** The same without labels of tokens, of models that have none in Python. */
export const rowHeads: HeadsOf<DecoderConfig, "vocabulary" | "rowLabels" | "hidden"> = {
  vocabulary: llamaHeads.vocabulary,
  rowLabels: llamaHeads.rowLabels,
  hidden: llamaHeads.hidden,
};

/** Labels of tokens and ends of answers, of models that call them `classifier` and `qa_outputs`. */
export function tokenHeads<C extends ModelConfig & { readonly classifierDropout: number }>(): HeadsOf<
  C,
  "tokenLabels" | "spanEnds"
> {
  return {
    tokenLabels: (w, c, x) =>
      w.linear("classifier", w.dropout("dropout", x, c.classifierDropout), c.numLabels),
    spanEnds: (w, _c, x) => w.linear("qa_outputs", x, 2),
  };
}
