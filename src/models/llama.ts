import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt, lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, causalBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { checkGroups, commonFields, readConfig } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";
import type { Layer } from "./parts/layers.js";
import { meet, repeat } from "./parts/layers.js";
import type { Rope, RotaryTables } from "./parts/rotary.js";
import { pairs, readRope, rotaryTables, rotate } from "./parts/rotary.js";

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
  /** Norms multiply by 1 + weight. */
  readonly unitNorm: boolean;
  /** What embeddings are multiplied by. */
  readonly embeddingScale: number;
  readonly scoreScale: number;
  /** Scores and logits stay within -cap to cap. */
  readonly scoreCap: number | undefined;
  readonly logitCap: number | undefined;
  readonly attentionDropout: number;
  readonly rope: Rope;
  /** Channels of a head that positions turn. */
  readonly turned: number;
  /** Where given, a token sees no more than so many, itself included, in the layers that `windowed` says. */
  readonly window: number | undefined;
  readonly windowed: readonly boolean[];
  /** Where given, these layers turn by it. */
  readonly windowRope: Rope | undefined;
}

/** The fields that every relative of Llama has. */
export function readLlama(f: Fields): LlamaConfig {
  const hiddenSize = f.size("hidden_size");
  const layers = f.layers("num_hidden_layers");
  const heads = f.size("num_attention_heads");
  const kvHeads = f.size("num_key_value_heads", heads);
  const headDim = f.size("head_dim", Math.floor(hiddenSize / heads));
  checkGroups(f, heads, kvHeads);
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
    unitNorm: false,
    embeddingScale: 1,
    scoreScale: headDim ** -0.5,
    scoreCap: undefined,
    logitCap: undefined,
    attentionDropout: f.rate("attention_dropout", 0),
    rope: readRope(f),
    turned: pairs(f, headDim, headDim),
    window: undefined,
    windowed: new Array<boolean>(layers).fill(false),
    windowRope: undefined,
  };
}

/** Masks and tables of all layers; those with a window read `near` ones where there are such. */
export type LlamaShared = RotaryTables & { full: Tensor; near: Tensor; nearCos?: Tensor; nearSin?: Tensor };

/** The stack whose layers are `layer`. */
export function llamaStack(layer: (c: LlamaConfig) => Layer<LlamaShared>) {
  /** ids -> [batch, virtual + seq, hidden] */
  return (w: Module, c: LlamaConfig, x: TextInputs): StackOutput => {
    const { g } = w;
    const words = w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize);
    const embedded = w.trace.prepend(c.embeddingScale === 1 ? words : g.mul(words, c.embeddingScale));
    const length = dimAt(embedded.shape, 1);
    const full = causalBias(g, x.mask, length);
    const shared = {
      full,
      near: c.window === undefined ? full : causalBias(g, x.mask, length, c.window),
      ...rotaryTables(g, x.positions, c.rope, c.turned),
      ...windowTables(g, x.positions, c),
    };
    const at = w.at("layers");
    const { hidden, present } = repeat(at, c.layers, w.pack(embedded), x.past, shared, layer(c));
    return { hidden: llamaNorm(w, c, "norm", hidden), present };
  };
}

function windowTables(g: Graph, positions: Tensor, c: LlamaConfig): { nearCos?: Tensor; nearSin?: Tensor } {
  if (c.windowRope === undefined) return {};
  const { cos, sin } = rotaryTables(g, positions, c.windowRope, c.turned);
  return { nearCos: cos, nearSin: sin };
}

const plainLayer =
  (c: LlamaConfig): Layer<LlamaShared> =>
  (w, x, shared, past, i) => {
    const attended = llamaAttention(w, c, llamaNorm(w, c, "input_layernorm", x), shared, past, i);
    const h = meet(w, "attention", attended.x, x);
    const y = llamaFeedForward(w, c, llamaNorm(w, c, "post_attention_layernorm", h));
    return { x: meet(w, "feedForward", y, h), present: attended.present };
  };

export function llamaNorm(w: Module, c: LlamaConfig, name: string, x: Tensor): Tensor {
  if (!c.unitNorm) return w.rmsNorm(name, x, c.eps);
  const at = w.at(name);
  const scale = w.g.add(at.get("weight", [lengthAt(x.shape, -1)]), 1);
  return at.output(w.g.rmsNorm(x, scale, c.eps));
}

export function llamaAttention(
  layer: Module,
  c: LlamaConfig,
  x: Tensor,
  { full, near, cos, sin, nearCos = cos, nearSin = sin }: LlamaShared,
  past: KeyValue | undefined,
  index: number,
): { x: Tensor; present: KeyValue } {
  const w = layer.at("self_attn");
  const { g } = w;
  const windowed = c.windowed[index] === true;
  const tables = windowed ? { cos: nearCos, sin: nearSin } : { cos, sin };
  const project = (name: string, heads: number, rows = x, of = w): Tensor =>
    splitHeads(of, of.linear(name, rows, heads * c.headDim, { bias: c.qkvBias }), heads, c.headDim);
  const turned = (name: "q" | "k", heads: number): Tensor => {
    const x = project(`${name}_proj`, heads);
    return rotate(g, c.headNorm ? llamaNorm(w.padded, c, `${name}_norm`, x) : x, tables);
  };
  const q = turned("q", c.heads);
  const k = turned("k", c.kvHeads);
  const present = withPast(g, { k, v: project("v_proj", c.kvHeads) }, past);
  const mixed = attend(w, q, present, {
    scale: c.scoreScale,
    cap: c.scoreCap,
    bias: windowed ? near : full,
    dropout: c.attentionDropout,
    beside: w.attention(c.hiddenSize, q, (rows) => ({
      k: project("k_proj", c.kvHeads, rows, w.same),
      v: project("v_proj", c.kvHeads, rows, w.same),
    })),
  });
  return { x: w.output(w.linear("o_proj", mixed, c.hiddenSize, { bias: c.outBias })), present };
}

export function llamaFeedForward(layer: Module, c: LlamaConfig, x: Tensor): Tensor {
  const w = layer.at("mlp");
  const options = { bias: c.mlpBias };
  const gate = activate(w.g, c.activation, w.linear("gate_proj", x, c.inter, options));
  const inner = w.g.mul(gate, w.linear("up_proj", x, c.inter, options));
  return w.output(w.linear("down_proj", inner, c.hiddenSize, options));
}

/** Reference: transformers/models/llama */
export const llama: Architecture<LlamaConfig> = {
  modelTypes: ["llama"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2 },
  prefix: "model",
  roles: {
    targets: ["q_proj", "v_proj"],
    attention: "self_attn",
    norms: ["input_layernorm", "post_attention_layernorm", "norm"],
    scaled: { targets: ["k_proj", "v_proj", "down_proj"], feedforward: ["down_proj"] },
  },
  parse: (json) => readConfig(json, readLlama),
  tie: ["lm_head.weight", "model.embed_tokens.weight"],
  stack: llamaStack(plainLayer),
  heads: decoderHeads("model.embed_tokens.weight"),
  newModules: ["score"],
};
