import type { BartConfig } from "./bart.js";
import { BART_FORM, bart, readBart } from "./bart.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { sineTable } from "./parts/sines.js";

/**
 * BART with sines for positions, and a bias of the logits that no training changes, a buffer in Python.
 * Reference: transformers/models/marian
 */
export const marian: Architecture<BartConfig> = {
  ...bart,
  modelTypes: ["marian"],
  defaultTokens: {
    pad_token_id: 58100,
    eos_token_id: 0,
    decoder_start_token_id: 58100,
    forced_eos_token_id: 0,
  },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      if (!f.flag("share_encoder_decoder_embeddings", true))
        f.unbuilt(`"share_encoder_decoder_embeddings" is false, and peft.js has one embedding for both`);
      const form = { ...BART_FORM, embeddingNorm: false, scalesWordsAlone: true, positions: sineTable };
      return readBart(f, form);
    }),
  heads: {
    vocabulary: (w, c, hidden) => {
      const tied = c.tied ? "model.shared.weight" : undefined;
      const logits = w.linear("lm_head", hidden, c.vocabSize, { bias: false, tied });
      const bias = w.frozen("final_logits_bias", {
        shape: [1, c.vocabSize],
        initial: () => new Float32Array(c.vocabSize),
        isParameter: false,
      });
      return w.g.add(logits, bias);
    },
  },
};
