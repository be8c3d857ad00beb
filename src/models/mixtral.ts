import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";
import type { ExpertsConfig } from "./parts/experts.js";
import {
  expertStack,
  gatedExperts,
  likeliest,
  mixture,
  readExperts,
  routed,
  router,
} from "./parts/experts.js";

type MixtralConfig = DecoderConfig & ExpertsConfig;

/** Mistral with experts in place of feed-forward layers. Reference: transformers/models/mixtral */
export const mixtral: Architecture<MixtralConfig> = {
  ...llama,
  modelTypes: ["mixtral"],
  roles: {
    ...llama.roles,
    scaled: undefined,
    parameters: { gate: "gate.weight", w1: "gate_up_proj", w3: "gate_up_proj", w2: "down_proj" },
  },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f, { eps: 1e-5, theta: 1e6, kvHeads: 8 });
      if (f.number("router_jitter_noise", 0) !== 0) f.unbuilt('"router_jitter_noise" is not 0');
      const window = f.has("sliding_window") ? f.count("sliding_window") : undefined;
      const windowed = c.windowed.map(() => window !== undefined);
      const experts = readExperts(f, "num_local_experts", "intermediate_size", 2);
      return { ...c, ...experts, qkvBias: false, outBias: false, window, windowed };
    }),
  checkpoint: {
    rename: [[/\.block_sparse_moe\./, ".mlp."]],
    experts: { gate_up_proj: ["w1.weight", "w3.weight"], down_proj: ["w2.weight"] },
  },
  stack: expertStack((layer, c, x) => {
    const w = layer.at("mlp");
    const logits = router(w, "gate", x, c.experts);
    const choice = likeliest(w.g, logits, c.chosen, true);
    const y = mixture(w.g, x, c.experts, choice, gatedExperts(w.at("experts"), c));
    return routed(w.output(y), logits);
  }),
};
