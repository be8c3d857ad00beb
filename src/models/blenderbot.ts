import type { BartConfig, BartForm } from "./bart.js";
import { BART_FORM, bart, learnedPositions, readBart } from "./bart.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";

const FORM: BartForm = {
  ...BART_FORM,
  normsFirst: true,
  embeddingNorm: false,
  maxPositions: 128,
  positions: learnedPositions(0),
};

/** BART with norms in front. Reference: transformers/models/blenderbot */
export const blenderbot: Architecture<BartConfig> = {
  ...bart,
  modelTypes: ["blenderbot"],
  defaultTokens: {
    bos_token_id: 1,
    eos_token_id: 2,
    pad_token_id: 0,
    decoder_start_token_id: 1,
    forced_eos_token_id: 2,
  },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, (f) => readBart(f, FORM)),
};
