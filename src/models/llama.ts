import type { Dim } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Activation } from "./activations.js";
import { activate, activationNames } from "./activations.js";
import { attend, causalBias, splitHeads, withPast } from "./attention.js";
import type { Fields } from "./config.js";
import { commonFields, readConfig } from "./config.js";
import { decoderHeads } from "./decoder_heads.js";
import { repeat } from "./layers.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import type { Rope, RotaryTables } from "./rotary.js";
import { readRope, rotaryTables, rotate } from "./rotary.js";

export interface LlamaConfig extends ModelConfig {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  /** Of q, k and v, and of the output's projection. */
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
  /** q and k are normed, head by head, before they are turned. */
  readonly headNorm: boolean;
  readonly attentionDropout: number;
  readonly rope: Rope;
  /** Where given, a token sees no more than so many, itself included, in the layers that `windowed` says. */
  readonly window: number | undefined;
  readonly windowed: readonly boolean[];
}

/** The fields that every relative of Llama has. */
export function readLlama(f: Fields): LlamaConfig {
  const hiddenSize = f.size("hidden_size");
  const layers = f.size("num_hidden_layers");
  const heads = f.size("num_attention_heads");
  const kvHeads = f.size("num_key_value_heads", heads);
  const headDim = f.size("head_dim", Math.floor(hiddenSize / heads));
  if (heads % kvHeads !== 0)
    f.fault(`${heads} attention heads do not share ${kvHeads} key and value heads evenly`);
  if (headDim % 2 !== 0) f.fault(`rotary positions turn pairs of channels, and head_dim ${headDim} is odd`);
  const attentionBias = f.flag("attention_bias", false);
  return {
    ...commonFields(f),
    hiddenSize,
    encoderDecoder: false,
    cache: { layers, kvHeads, headDim },
    tied: f.flag("tie_word_embeddings", false),
    layers,
    heads,
    kvHeads,
    headDim,
    inter: f.size("intermediate_size"),
    activation: f.choice("hidden_act", activationNames, "silu"),
    eps: f.number("rms_norm_eps", 1e-6),
    qkvBias: attentionBias,
    outBias: attentionBias,
    mlpBias: f.flag("mlp_bias", false),
    headNorm: false,
    attentionDropout: f.rate("attention_dropout", 0),
    rope: readRope(f),
    window: undefined,
    windowed: new Array<boolean>(layers).fill(false),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: LlamaConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const embedded = w.trace.prepend(w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize));
  const length = embedded.shape[1] as Dim;
  const full = causalBias(g, x.mask, length);
  const shared = {
    full,
    near: c.window === undefined ? full : causalBias(g, x.mask, length, c.window),
    ...rotaryTables(g, x.positions, c.rope, c.headDim),
  };
  const { hidden, present } = repeat(
    w.at("layers"),
    c.layers,
    w.trace.pack(embedded),
    x.past,
    shared,
    (w, x, { full, near, ...tables }, past, i) => {
      const bias = c.windowed[i] ? near : full;
      const normed = w.rmsNorm("input_layernorm", x, c.eps);
      const attended = attention(w.at("self_attn"), c, normed, { bias, ...tables }, past);
      const h = g.add(x, attended.x);
      const y = feedForward(w.at("mlp"), c, w.rmsNorm("post_attention_layernorm", h, c.eps));
      return { x: g.add(h, y), present: attended.present };
    },
  );
  return { hidden: w.rmsNorm("norm", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: LlamaConfig,
  x: Tensor,
  { bias, ...tables }: RotaryTables & { bias: Tensor },
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const { g } = w;
  const project = (name: string, heads: number): Tensor =>
    splitHeads(w, w.linear(name, x, heads * c.headDim, { bias: c.qkvBias }), heads, c.headDim);
  const turned = (name: "q" | "k", heads: number): Tensor => {
    const x = project(`${name}_proj`, heads);
    return rotate(g, c.headNorm ? w.rmsNorm(`${name}_norm`, x, c.eps) : x, tables);
  };
  const q = turned("q", c.heads);
  const k = turned("k", c.kvHeads);
  const present = withPast(g, { k, v: project("v_proj", c.kvHeads) }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: w.output(w.linear("o_proj", mixed, c.hiddenSize, { bias: c.outBias })), present };
}

function feedForward(w: Module, c: LlamaConfig, x: Tensor): Tensor {
  const options = { bias: c.mlpBias };
  const gate = activate(w.g, c.activation, w.linear("gate_proj", x, c.inter, options));
  const inner = w.g.mul(gate, w.linear("up_proj", x, c.inter, options));
  return w.output(w.linear("down_proj", inner, c.hiddenSize, options));
}

/** Reference: transformers/models/llama */
export const llama: Architecture<LlamaConfig> = {
  modelTypes: ["llama"],
  prefix: "model",
  roles: {
    targets: ["q_proj", "v_proj"],
    scaled: { targets: ["k_proj", "v_proj", "down_proj"], feedforward: ["down_proj"] },
  },
  parse: (json) => readConfig(json, readLlama),
  tie: ["lm_head.weight", "model.embed_tokens.weight"],
  stack,
  heads: decoderHeads("model.embed_tokens.weight"),
  newModules: ["score"],
};
