import type { BertConfig } from "./bert.js";
import type { Architecture } from "./model.js";
import { roberta } from "./roberta.js";

/** RoBERTa on French. PEFT names no default targets for it. Reference: transformers/models/camembert */
export const camembert: Architecture<BertConfig> = {
  ...roberta,
  modelTypes: ["camembert"],
  roles: { targets: undefined },
};
