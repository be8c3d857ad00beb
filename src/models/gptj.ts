import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { axes, dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";
import { meetBoth, repeat } from "./parts/layers.js";
import type { CausalRotary } from "./parts/rotary.js";
import { causalRotary, pairs, rotateNeighbours } from "./parts/rotary.js";

export interface GptjConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  /** Channels of a head that positions turn: the first ones. */
  readonly turned: number;
  /** Shares of the layer `qkv_proj`, each of q, v and k of some heads; undefined: there are three layers. */
  readonly shares: number | undefined;
  readonly embeddingDropout: number;
  readonly attentionDropout: number;
  readonly residualDropout: number;
}

const ROPE = { type: "default", theta: 10000 } as const;

/** The fields of GPT-J and CodeGen. */
export function readGptj(f: Fields): GptjConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("n_embd"),
    layers: f.layers("n_layer"),
    heads: f.size("n_head"),
  });
  const turned = pairs(f, f.size("rotary_dim", 64), sizes.headDim);
  return {
    ...commonFields(f),
    ...sizes,
    tied: f.flag("tie_word_embeddings", false),
    inter: f.size("n_inner", 4 * sizes.hiddenSize),
    activation: f.choice("activation_function", activationNames, "gelu_new"),
    eps: f.number("layer_norm_epsilon", 1e-5),
    turned,
    shares: undefined,
    embeddingDropout: f.rate("embd_pdrop", 0),
    attentionDropout: f.rate("attn_pdrop", 0),
    residualDropout: f.rate("resid_pdrop", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: GptjConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("wte", x.ids, c.vocabSize, c.hiddenSize));
  const shared = causalRotary(g, x, dimAt(words.shape, 1), ROPE, c.turned);
  const { hidden, present } = repeat(
    w.at("h"),
    c.layers,
    w.dropout("drop", w.pack(words), c.embeddingDropout),
    x.past,
    shared,
    (w, x, s, past) => {
      const normed = w.layerNorm("ln_1", x, c.eps);
      const attended = attention(w.at("attn"), c, normed, s, past);
      const y = feedForward(w.at("mlp"), c, normed);
      return { x: meetBoth(w, x, attended.x, y), present: attended.present };
    },
  );
  return { hidden: w.layerNorm("ln_f", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: GptjConfig,
  x: Tensor,
  { bias, ...tables }: CausalRotary,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const { g } = w;
  const { q, k, v } = project(w, c, x);
  const turned = rotateNeighbours(g, q, tables);
  const present = withPast(g, { k: rotateNeighbours(g, k, tables), v }, past);
  const mixed = attend(w, turned, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  const y = w.linear("out_proj", mixed, c.hiddenSize, { bias: false });
  return { x: w.output(w.dropout("resid_dropout", y, c.residualDropout)), present };
}

function project(w: Module, c: GptjConfig, x: Tensor): KeyValue & { q: Tensor } {
  const linear = (name: string, width: number): Tensor => w.linear(name, x, width, { bias: false });
  if (c.shares === undefined) {
    const split = (name: string): Tensor =>
      splitHeads(w, linear(`${name}_proj`, c.hiddenSize), c.heads, c.headDim);
    return { q: split("q"), k: split("k"), v: split("v") };
  }
  const { g } = w;
  const share = c.hiddenSize / c.shares;
  const parts = splitHeads(w, linear("qkv_proj", 3 * c.hiddenSize), c.shares, 3 * share); // [batch, shares, seq, ...]
  const [batch, shares, seq] = axes(parts.shape, 4);
  const heads = (part: Tensor): Tensor => {
    const apart = g.reshape(part, [batch, shares, seq, share / c.headDim, c.headDim]);
    return g.reshape(g.transpose(apart, [0, 1, 3, 2, 4]), [batch, c.heads, seq, c.headDim]);
  };
  const [q, v, k] = g.split(parts, -1, [share, share, share]);
  return { q: heads(q), k: heads(k), v: heads(v) };
}

function feedForward(w: Module, c: GptjConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("fc_in", x, c.inter));
  const y = w.linear("fc_out", inner, c.hiddenSize);
  return w.output(w.dropout("dropout", y, c.residualDropout));
}

/** Attention and feed-forward side by side; positions turn neighbours. Reference: transformers/models/gptj */
export const gptj: Architecture<GptjConfig> = {
  modelTypes: ["gptj"],
  defaultTokens: { bos_token_id: 50256, eos_token_id: 50256 },
  prefix: "transformer",
  roles: {
    targets: ["q_proj", "v_proj"],
    norms: ["ln_1", "ln_f"],
    scaled: { targets: ["q_proj", "v_proj", "fc_out"], feedforward: ["fc_out"] },
  },
  parse: (json) => readConfig(json, readGptj),
  tie: ["lm_head.weight", "transformer.wte.weight"],
  stack,
  heads: decoderHeads("transformer.wte.weight", true),
  newModules: ["score"],
};
