import { LEGACY_NORMS } from "./bert.js";
import type { DebertaConfig } from "./deberta_v2.js";
import { debertaV2, readDeberta } from "./deberta_v2.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";

/** Distances are told apart one by one, and go through layers of their own. */
function read(f: Fields): DebertaConfig {
  if (f.flag("talking_head", false))
    f.unbuilt(`"talking_head" is true, and peft.js does not mix the heads of this model`);
  const c = readDeberta(f);
  const layers = { key: "pos_proj", query: "pos_q_proj", keyBias: false };
  return { ...c, fused: true, relative: c.relative && { ...c.relative, layers, norm: false } };
}

/** DeBERTa's first form: its q, k and v are fused. Reference: transformers/models/deberta */
export const deberta: Architecture<DebertaConfig> = {
  ...debertaV2,
  modelTypes: ["deberta"],
  roles: {
    targets: ["in_proj"],
    scaled: { targets: ["in_proj", "output.dense"], feedforward: ["output.dense"] },
  },
  parse: (json) => readConfig(json, read),
  checkpoint: { rename: LEGACY_NORMS },
};
