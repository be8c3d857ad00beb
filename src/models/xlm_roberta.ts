import type { BertConfig } from "./bert.js";
import type { Architecture } from "./model.js";
import { roberta } from "./roberta.js";

/** RoBERTa on a hundred languages. Reference: transformers/models/xlm_roberta */
export const xlmRoberta: Architecture<BertConfig> = {
  ...roberta,
  modelTypes: ["xlm-roberta"],
  roles: { targets: ["query", "value"] },
};
