import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { FeedForward } from "./parts/decoder.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";
import { decoderFeedForward, feedForwardAt } from "./parts/decoder_feed_forward.js";
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
import { qwen2, readWindow } from "./qwen2.js";

export interface QwenMoeConfig extends DecoderConfig, ExpertsConfig {
  /** The probabilities of the experts that a token chose add up to 1. */
  readonly isWhole: boolean;
  /** Which layers have experts. */
  readonly sparse: readonly boolean[];
  /** Width of the expert that all tokens go through; undefined: there is none. */
  readonly sharedInter: number | undefined;
}

/** What Qwen's mixtures have beside a decoder's fields. */
export function readQwenMoe(
  f: Fields,
  layers: number,
  sizes: { readonly inter?: string; readonly chosen?: number } = {},
): ExpertsConfig & Pick<QwenMoeConfig, "isWhole" | "sparse"> {
  const step = f.size("decoder_sparse_step", 1);
  const dense = f.has("mlp_only_layers") ? f.numbers("mlp_only_layers") : [];
  const isSparse = (i: number): boolean => (i + 1) % step === 0 && !dense.includes(i);
  return {
    ...readExperts(f, "num_experts", sizes.inter ?? "moe_intermediate_size", sizes.chosen),
    isWhole: f.flag("norm_topk_prob", false),
    sparse: Array.from({ length: layers }, (_, i) => isSparse(i)),
  };
}

/** Experts, one of them shared, or a plain feed-forward layer. */
export function qwenExperts(layer: Module, c: QwenMoeConfig, x: Tensor, i: number): Tensor | FeedForward {
  if (c.sparse[i] !== true) return decoderFeedForward(layer, c, x);
  const w = layer.at("mlp");
  const { g } = w;
  const logits = router(w, "gate", x, c.experts);
  const choice = likeliest(g, logits, c.chosen, c.isWhole);
  const y = mixture(g, x, c.experts, choice, gatedExperts(w.at("experts"), c));
  if (c.sharedInter === undefined) return routed(w.output(y), logits);
  const shared = feedForwardAt(w.at("shared_expert"), { ...c, inter: c.sharedInter }, x);
  const share = g.sigmoid(w.linear("shared_expert_gate", x, 1, { bias: false }));
  return routed(w.output(g.add(y, g.mul(share, shared))), logits);
}

/** Experts' layers as checkpoints name them. */
export const EXPERT_LAYERS: Readonly<Record<string, readonly string[]>> = {
  gate_up_proj: ["gate_proj.weight", "up_proj.weight"],
  down_proj: ["down_proj.weight"],
};

/** Qwen 2 with experts, one of which all tokens go through. Reference: transformers/models/qwen2_moe */
export const qwen2Moe: Architecture<QwenMoeConfig> = {
  ...qwen2,
  modelTypes: ["qwen2_moe"],
  roles: { targets: undefined },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f);
      const qkvBias = f.flag("qkv_bias", true);
      const window = readWindow(f, c.layers);
      const experts = readQwenMoe(f, c.layers, { chosen: 4 });
      const sharedInter = f.size("shared_expert_intermediate_size", 5632);
      return { ...c, ...window, ...experts, qkvBias, outBias: false, mlpBias: false, sharedInter };
    }),
  checkpoint: { experts: EXPERT_LAYERS },
  stack: expertStack(qwenExperts),
};
