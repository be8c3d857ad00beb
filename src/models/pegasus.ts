import type { BartConfig, BartForm } from "./bart.js";
import { BART_FORM, bart, readBart } from "./bart.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { sineTable } from "./parts/sines.js";

const FORM: BartForm = {
  ...BART_FORM,
  normsFirst: true,
  embeddingNorm: false,
  scalesWordsAlone: true,
  positions: sineTable,
};

/** BART with norms in front and sines for positions. Reference: transformers/models/pegasus */
export const pegasus: Architecture<BartConfig> = {
  ...bart,
  modelTypes: ["pegasus"],
  defaultTokens: { pad_token_id: 0, eos_token_id: 1, decoder_start_token_id: 0, forced_eos_token_id: 1 },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, (f) => readBart(f, FORM)),
};
