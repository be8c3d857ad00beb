import { axes, dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import { attend, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { FeedForward } from "./parts/decoder.js";
import type { DecoderShared } from "./parts/decoder_attention.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";
import { decoderFeedForward, feedForwardAt } from "./parts/decoder_feed_forward.js";
import type { Choice, ExpertsConfig } from "./parts/experts.js";
import { expertStack, gatedExperts, LAYER_NAMES, mixture, readExperts, router } from "./parts/experts.js";
import { pairs, rotate, rotateNeighbours } from "./parts/rotary.js";
import { EXPERT_LAYERS } from "./qwen2_moe.js";

interface DeepseekConfig extends DecoderConfig, ExpertsConfig {
  /** Layers before the first that has experts. */
  readonly dense: number;
  /** Width of the experts that all tokens go through. */
  readonly sharedInter: number;
  /** Experts are in groups, of which a token chooses some first. */
  readonly groups: number;
  readonly chosenGroups: number;
  readonly isWhole: boolean;
  /** What the weights of experts are multiplied by. */
  readonly weightScale: number;
  /** Widths of the latents of queries (undefined: none), and of keys and values. */
  readonly queryLatent: number | undefined;
  readonly latent: number;
  /** Channels of a head that positions do not turn, and of its values. */
  readonly plainDim: number;
  readonly valueDim: number;
}

/**
 * Attention on latents: keys and values of all heads are made of one latent vector per token, and of a key
 * that all heads share, which alone is turned. Those two are what is cached.
 */
function latentAttention(
  layer: Module,
  c: DeepseekConfig,
  x: Tensor,
  { full, cos, sin }: DecoderShared,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const w = layer.at("self_attn");
  const { g } = w;
  const turn = (y: Tensor): Tensor => (c.neighbours ? rotateNeighbours : rotate)(g, y, { cos, sin });
  const bias = c.outBias;
  const width = c.plainDim + c.turned;
  const low = c.queryLatent;
  const queries =
    low === undefined
      ? w.linear("q_proj", x, c.heads * width, { bias: false })
      : w.linear(
          "q_b_proj",
          w.rmsNorm("q_a_layernorm", w.linear("q_a_proj", x, low, { bias }), LATENT_EPS),
          c.heads * width,
          { bias: false },
        );
  const [still, moving] = g.split(splitHeads(w, queries, c.heads, width), -1, [c.plainDim, c.turned]);
  const both = w.linear("kv_a_proj_with_mqa", x, c.latent + c.turned, { bias });
  const [raw, key] = g.split(both, -1, [c.latent, c.turned]);
  const latent = splitHeads(w, w.rmsNorm("kv_a_layernorm", raw, LATENT_EPS), 1, c.latent);
  const present = withPast(g, { k: latent, v: turn(splitHeads(w, key, 1, c.turned)) }, past);
  const made = w.padded.linear("kv_b_proj", g.squeeze(present.k, 1), c.heads * (c.plainDim + c.valueDim), {
    bias: false,
  });
  const [k, v] = g.split(splitHeads(w.padded, made, c.heads, c.plainDim + c.valueDim), -1, [
    c.plainDim,
    c.valueDim,
  ]);
  const [batch, , total] = axes(present.v.shape, 4);
  const shared = g.expand(present.v, [batch, c.heads, total, c.turned]);
  const mixed = attend(
    w,
    g.concat([still, turn(moving)], -1),
    { k: g.concat([k, shared], -1), v },
    {
      scale: c.scoreScale,
      bias: full,
      dropout: c.attentionDropout,
    },
  );
  return { x: w.output(w.linear("o_proj", mixed, c.hiddenSize, { bias })), present };
}

/** Of the norms of latents, whatever the config says of the others. */
const LATENT_EPS = 1e-6;

/** Below all scores. */
const NEVER = -1e9;

/** The experts with the largest scores, of the groups whose best two have the largest sums. */
function choose(g: Graph, c: DeepseekConfig, logits: Tensor, correction: Tensor): Choice {
  const scores = g.sigmoid(logits); // [tokens, experts]
  const corrected = g.add(scores, correction);
  const tokens = dimAt(scores.shape, 0);
  const size = c.experts / c.groups;
  const grouped = g.reshape(corrected, [tokens, c.groups, size]);
  const best = g.sum(g.gatherLast(grouped, g.topK(grouped, Math.min(2, size))), -1); // [tokens, groups]
  const open = g.equal(g.unsqueeze(g.topK(best, c.chosenGroups), -1), g.iota(c.groups));
  const isOpen = g.less(0, g.sum(g.cast(open, "f32"), 1)); // [tokens, groups]
  const left = g.reshape(g.where(g.unsqueeze(isOpen, -1), grouped, NEVER), [tokens, c.experts]);
  const ids = g.topK(left, c.chosen);
  const weights = g.gatherLast(scores, ids);
  const whole = c.isWhole ? g.div(weights, g.add(g.sum(weights, -1, true), 1e-20)) : weights;
  return { ids, weights: g.mul(whole, c.weightScale) };
}

/** What balances the choice of experts, without a part in their weights: a buffer in Python. */
function correctionOf(w: Module, { experts }: DeepseekConfig): Tensor {
  return w.frozen("e_score_correction_bias", {
    shape: [experts],
    initial: () => new Float32Array(experts),
    isParameter: false,
  });
}

function deepseekExperts(layer: Module, c: DeepseekConfig, x: Tensor, i: number): Tensor | FeedForward {
  if (i < c.dense) return decoderFeedForward(layer, c, x);
  const w = layer.at("mlp");
  const { g } = w;
  const logits = router(w, "gate", x, c.experts);
  const choice = choose(g, c, logits, correctionOf(w.at("gate"), c));
  const y = mixture(g, x, c.experts, choice, gatedExperts(w.at("experts"), c));
  const shared = feedForwardAt(w.at("shared_experts"), { ...c, inter: c.sharedInter }, x);
  return w.output(g.add(y, shared));
}

/** How much scores grow where a rope was stretched (yarn). */
function stretch(f: Fields): number {
  const scaling = f.object("rope_parameters") ?? f.object("rope_scaling");
  if (scaling === undefined || !scaling.has("factor")) return 1;
  const [factor, all] = [scaling.number("factor"), scaling.number("mscale_all_dim", 0)];
  return all === 0 || factor <= 1 ? 1 : (0.1 * all * Math.log(factor) + 1) ** 2;
}

function read(f: Fields): DeepseekConfig {
  const turned = pairs(f, f.size("qk_rope_head_dim", 64), f.size("qk_rope_head_dim", 64));
  const plainDim = f.size("qk_nope_head_dim", 128);
  const latent = f.size("kv_lora_rank", 512);
  const c = readDecoder(f, { headDim: turned, bias: false });
  const experts = readExperts(f, "n_routed_experts", "moe_intermediate_size", 8);
  const groups = f.size("n_group", 8);
  const chosenGroups = f.size("topk_group", 4);
  if (experts.experts % groups !== 0 || chosenGroups > groups)
    f.fault(`${experts.experts} experts, "n_group" ${groups} and "topk_group" ${chosenGroups} do not fit`);
  return {
    ...c,
    ...experts,
    balance: undefined,
    cache: { layers: c.layers, kvHeads: 1, headDim: latent, valueDim: turned },
    turned,
    plainDim,
    latent,
    valueDim: f.size("v_head_dim", 128),
    queryLatent: f.json["q_lora_rank"] === null ? undefined : f.size("q_lora_rank", 1536),
    neighbours: f.flag("rope_interleave", true),
    scoreScale: (plainDim + turned) ** -0.5 * stretch(f),
    mlpBias: false,
    dense: f.number("first_k_dense_replace", 3),
    sharedInter: experts.expertInter * f.size("n_shared_experts", 1),
    groups,
    chosenGroups,
    isWhole: f.flag("norm_topk_prob", true),
    weightScale: f.number("routed_scaling_factor", 2.5),
  };
}

/** Latent attention, and experts in groups with a shared one. Reference: transformers/models/deepseek_v3 */
export const deepseekV3: Architecture<DeepseekConfig> = {
  ...llama,
  modelTypes: ["deepseek_v3"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 1 },
  roles: { targets: undefined, parameters: LAYER_NAMES },
  parse: (json) => readConfig(json, read),
  checkpoint: { experts: EXPERT_LAYERS },
  stack: expertStack(deepseekExperts, { attention: latentAttention }),
};
