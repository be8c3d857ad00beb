import { activate } from "../graph/activations.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { LlamaConfig, LlamaShared } from "./llama.js";
import { llama, llamaNorm, llamaStack, readLlama } from "./llama.js";
import type { Architecture } from "./model.js";
import { attend, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { Layer } from "./parts/layers.js";
import { meet } from "./parts/layers.js";
import { pairs, readTurned, rotate } from "./parts/rotary.js";

function readPhi3(f: Fields): LlamaConfig {
  const c = readLlama(f);
  for (const key of ["embd_pdrop", "resid_pdrop"])
    if (f.rate(key, 0) > 0) f.unbuilt(`"${key}" is not 0, and peft.js has no such dropout in this model`);
  return {
    ...c,
    turned: pairs(f, readTurned(f, c.headDim, "partial_rotary_factor", 1), c.headDim),
    eps: f.number("rms_norm_eps", 1e-5),
    qkvBias: false,
    outBias: false,
    mlpBias: false,
    window: f.has("sliding_window") ? f.count("sliding_window") : undefined,
    windowed: c.windowed.map(() => f.has("sliding_window")),
  };
}

const fusedLayer =
  (c: LlamaConfig): Layer<LlamaShared> =>
  (w, x, shared, past, i) => {
    const normed = llamaNorm(w, c, "input_layernorm", x);
    const attended = attention(w.at("self_attn"), c, normed, shared, past, i);
    const h = meet(w, "attention", attended.x, x);
    const y = feedForward(w.at("mlp"), c, llamaNorm(w, c, "post_attention_layernorm", h));
    return { x: meet(w, "feedForward", y, h), present: attended.present };
  };

/** q, k, v side by side in one layer. */
function attention(
  w: Module,
  c: LlamaConfig,
  x: Tensor,
  { full, near, ...tables }: LlamaShared,
  past: KeyValue | undefined,
  index: number,
): { x: Tensor; present: KeyValue } {
  const { g } = w;
  const [width, kvWidth] = [c.heads * c.headDim, c.kvHeads * c.headDim];
  const fused = w.linear("qkv_proj", x, (c.heads + 2 * c.kvHeads) * c.headDim, { bias: false });
  const [queries, keys, values] = g.split(fused, -1, [width, kvWidth, kvWidth]);
  const heads = (part: Tensor, count: number): Tensor => splitHeads(w, part, count, c.headDim);
  const [q, k, v] = [heads(queries, c.heads), heads(keys, c.kvHeads), heads(values, c.kvHeads)];
  const present = withPast(g, { k: rotate(g, k, tables), v }, past);
  const mixed = attend(w, rotate(g, q, tables), present, {
    scale: c.scoreScale,
    bias: c.windowed[index] ? near : full,
    dropout: c.attentionDropout,
  });
  return { x: w.output(w.linear("o_proj", mixed, c.hiddenSize, { bias: false })), present };
}

/** The gate and what it lets through side by side in one layer. */
function feedForward(w: Module, c: LlamaConfig, x: Tensor): Tensor {
  const both = w.linear("gate_up_proj", x, 2 * c.inter, { bias: false });
  const [gate, up] = w.g.split(both, -1, [c.inter, c.inter]);
  const inner = w.g.mul(up, activate(w.g, c.activation, gate));
  return w.output(w.linear("down_proj", inner, c.hiddenSize, { bias: false }));
}

/**
 * Llama with fused layers (Phi 3, Phi 4); PEFT names no default targets for it. Reference:
 * transformers/models/phi3
 */
export const phi3: Architecture<LlamaConfig> = {
  ...llama,
  modelTypes: ["phi3"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 32000, pad_token_id: 32000 },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, readPhi3),
  stack: llamaStack(fusedLayer),
};
