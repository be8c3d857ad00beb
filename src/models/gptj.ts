import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
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
  readonly embeddingDropout: number;
  readonly attentionDropout: number;
  readonly residualDropout: number;
}

const ROPE = { type: "default", theta: 10000 } as const;

function read(f: Fields): GptjConfig {
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
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(name, x, c.hiddenSize, { bias: false }), c.heads, c.headDim);
  const q = rotateNeighbours(g, project("q_proj"), tables);
  const k = rotateNeighbours(g, project("k_proj"), tables);
  const present = withPast(g, { k, v: project("v_proj") }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  const y = w.linear("out_proj", mixed, c.hiddenSize, { bias: false });
  return { x: w.output(w.dropout("resid_dropout", y, c.residualDropout)), present };
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
  parse: (json) => readConfig(json, read),
  tie: ["lm_head.weight", "transformer.wte.weight"],
  stack,
  heads: decoderHeads("transformer.wte.weight", true),
  newModules: ["score"],
};
