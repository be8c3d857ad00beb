import type { BartConfig, BartForm } from "./bart.js";
import { BART_FORM, bart, readBart } from "./bart.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { sinesAfterPadding } from "./parts/sines.js";

const FORM: BartForm = {
  ...BART_FORM,
  normsFirst: true,
  embeddingNorm: false,
  layerDrop: 0.05,
  attentionDropout: 0.1,
  activation: "relu",
  scalesEmbeddings: true,
  positions: (w, c, x) => sinesAfterPadding(w, c.hiddenSize, c.padTokenId ?? 1, x),
};

/**
 * BART with norms in front and sines for positions, on a hundred languages. Reference:
 * transformers/models/m2m_100
 */
export const m2m100: Architecture<BartConfig> = {
  ...bart,
  modelTypes: ["m2m_100"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1, decoder_start_token_id: 2 },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, (f) => readBart(f, FORM)),
};
