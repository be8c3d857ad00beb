import { granite, readGranite } from "./granite.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import type { ExpertsConfig } from "./parts/experts.js";
import {
  expertStack,
  gatedExperts,
  likeliestOf,
  mixture,
  readExperts,
  routed,
  router,
} from "./parts/experts.js";

type GraniteMoeConfig = DecoderConfig & ExpertsConfig;

/** Granite with experts, whose probabilities are of the chosen alone. Reference: models/granitemoe */
export const graniteMoe: Architecture<GraniteMoeConfig> = {
  ...granite,
  modelTypes: ["granitemoe"],
  parse: (json) =>
    readConfig(json, (f) => ({
      ...readGranite(f),
      ...readExperts(f, "num_local_experts", "intermediate_size", 2),
    })),
  checkpoint: {
    rename: [
      [/\.input_linear\.weight$/, ".experts.gate_up_proj"],
      [/\.output_linear\.weight$/, ".experts.down_proj"],
      [/\.router\.layer\.weight$/, ".router.weight"],
    ],
  },
  stack: expertStack((layer, c, x) => {
    const w = layer.at("block_sparse_moe");
    const logits = router(w, "router", x, c.experts);
    const choice = likeliestOf(w.g, logits, c.chosen);
    return routed(w.output(mixture(w.g, x, c.experts, choice, gatedExperts(w.at("experts"), c))), logits);
  }),
};
