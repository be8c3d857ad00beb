import type { BartConfig } from "./bart.js";
import { BART_FORM, bart, readBart } from "./bart.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";

/**
 * BART with norms in front, on many languages: its decoder starts with the last token of what it shall write,
 * the language's. Reference: transformers/models/mbart
 */
export const mbart: Architecture<BartConfig> = {
  ...bart,
  modelTypes: ["mbart"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1, forced_eos_token_id: 2 },
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readBart(f, { ...BART_FORM, normsFirst: true }),
      startsWithLastLabel: true,
    })),
};
