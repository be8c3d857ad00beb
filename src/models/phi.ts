import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { checkGroups, commonFields, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";
import { meetBoth, repeat } from "./parts/layers.js";
import type { CausalRotary, Rope } from "./parts/rotary.js";
import { causalRotary, pairs, readRope, readTurned, rotate } from "./parts/rotary.js";

export interface PhiConfig extends ModelConfig {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  /** q and k are normed, head by head, before they are turned. */
  readonly headNorm: boolean;
  readonly rope: Rope;
  /** Channels of a head that positions turn: the first ones. */
  readonly turned: number;
  readonly embeddingDropout: number;
  readonly attentionDropout: number;
  readonly residualDropout: number;
}

function read(f: Fields): PhiConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size"),
    layers: f.layers("num_hidden_layers"),
    heads: f.size("num_attention_heads"),
  });
  const kvHeads = f.size("num_key_value_heads", sizes.heads);
  checkGroups(f, sizes.heads, kvHeads);
  return {
    ...commonFields(f),
    ...sizes,
    cache: { ...sizes.cache, kvHeads },
    kvHeads,
    tied: f.flag("tie_word_embeddings", false),
    inter: f.size("intermediate_size"),
    activation: f.choice("hidden_act", activationNames, "gelu_new"),
    eps: f.number("layer_norm_eps", 1e-5),
    headNorm: f.flag("qk_layernorm", false),
    rope: readRope(f),
    turned: pairs(f, readTurned(f, sizes.headDim, "partial_rotary_factor", 0.5), sizes.headDim),
    embeddingDropout: f.rate("embd_pdrop", 0),
    attentionDropout: f.rate("attention_dropout", 0),
    residualDropout: f.rate("resid_pdrop", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: PhiConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize));
  const shared = causalRotary(g, x, dimAt(words.shape, 1), c.rope, c.turned);
  const { hidden, present } = repeat(
    w.at("layers"),
    c.layers,
    w.dropout("embed_dropout", w.pack(words), c.embeddingDropout),
    x.past,
    shared,
    (w, x, s, past) => {
      const normed = w.layerNorm("input_layernorm", x, c.eps);
      const attended = attention(w.at("self_attn"), c, normed, s, past);
      const a = w.at("self_attn").dropout("resid_dropout", attended.x, c.residualDropout);
      const y = w.at("mlp").dropout("resid_dropout", feedForward(w.at("mlp"), c, normed), c.residualDropout);
      return { x: meetBoth(w, x, a, y), present: attended.present };
    },
  );
  return { hidden: w.layerNorm("final_layernorm", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: PhiConfig,
  x: Tensor,
  { bias, ...tables }: CausalRotary,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const { g } = w;
  const project = (name: string, heads: number): Tensor =>
    splitHeads(w, w.linear(`${name}_proj`, x, heads * c.headDim), heads, c.headDim);
  const turned = (name: string, heads: number): Tensor => {
    const x = project(name, heads);
    return rotate(g, c.headNorm ? w.padded.layerNorm(`${name}_layernorm`, x, c.eps) : x, tables);
  };
  const q = turned("q", c.heads);
  const present = withPast(g, { k: turned("k", c.kvHeads), v: project("v", c.kvHeads) }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: w.output(w.linear("dense", mixed, c.hiddenSize)), present };
}

function feedForward(w: Module, c: PhiConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("fc1", x, c.inter));
  return w.output(w.linear("fc2", inner, c.hiddenSize));
}

/** Phi 1 to 2: attention and feed-forward side by side. Reference: transformers/models/phi */
export const phi: Architecture<PhiConfig> = {
  modelTypes: ["phi"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2 },
  prefix: "model",
  roles: {
    targets: ["q_proj", "v_proj", "fc1", "fc2"],
    norms: ["input_layernorm", "final_layernorm"],
    scaled: { targets: ["q_proj", "v_proj", "fc2"], feedforward: ["fc2"] },
  },
  parse: (json) => readConfig(json, read),
  tie: ["lm_head.weight", "model.embed_tokens.weight"],
  stack,
  heads: decoderHeads("model.embed_tokens.weight", true),
  newModules: ["score"],
};
