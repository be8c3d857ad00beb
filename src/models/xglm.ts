import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, causalBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";
import { meet, repeat } from "./parts/layers.js";
import { sinesAt } from "./parts/sines.js";

export interface XglmConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly embeddingScale: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly activationDropout: number;
}

/** Where positions begin. */
const FIRST = 2;
const EPS = 1e-5;

function read(f: Fields): XglmConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("d_model", 1024),
    layers: f.layers("num_layers", 24),
    heads: f.size("attention_heads", 16),
  });
  if (f.rate("layerdrop", 0) > 0) f.unbuilt(`"layerdrop" is not 0, and peft.js leaves no layer out`);
  if (f.flag("add_cross_attention", false))
    f.unbuilt(`"add_cross_attention" is true, and peft.js knows XGLM as a decoder of its own`);
  return {
    ...commonFields(f),
    initializerRange: f.number("init_std", 0.02),
    ...sizes,
    tied: f.flag("tie_word_embeddings", true),
    inter: f.size("ffn_dim", 4096),
    activation: f.choice("activation_function", activationNames, "gelu"),
    embeddingScale: f.flag("scale_embedding", true) ? sizes.hiddenSize ** 0.5 : 1,
    dropout: f.rate("dropout", 0.1),
    attentionDropout: f.rate("attention_dropout", 0.1),
    activationDropout: f.rate("activation_dropout", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: XglmConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = g.mul(w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize), c.embeddingScale);
  const embedded = w.trace.prepend(words);
  const places = sinesAt(g, g.add(x.positions, g.scalar(FIRST, "i64")), c.hiddenSize);
  const { hidden, present } = repeat(
    w.at("layers"),
    c.layers,
    w.dropout("dropout", w.pack(g.add(embedded, places)), c.dropout),
    x.past,
    { bias: causalBias(g, x.mask, dimAt(embedded.shape, 1)) },
    (w, x, s, past) => {
      const attended = attention(w, c, w.layerNorm("self_attn_layer_norm", x, EPS), s.bias, past);
      const h = meet(w, "attention", w.dropout("attended", attended.x, c.dropout), x);
      const y = feedForward(w, c, w.layerNorm("final_layer_norm", h, EPS));
      return { x: meet(w, "feedForward", w.dropout("dropout", y, c.dropout), h), present: attended.present };
    },
  );
  return { hidden: w.layerNorm("layer_norm", hidden, EPS), present };
}

function attention(
  layer: Module,
  c: XglmConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const w = layer.at("self_attn");
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("q_proj");
  const present = withPast(w.g, { k: project("k_proj"), v: project("v_proj") }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: w.output(w.linear("out_proj", mixed, c.hiddenSize)), present };
}

function feedForward(w: Module, c: XglmConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("fc1", x, c.inter));
  return w.linear("fc2", w.dropout("activation_dropout", inner, c.activationDropout), c.hiddenSize);
}

const { vocabulary, hidden } = decoderHeads<XglmConfig>("model.embed_tokens.weight");

/** Positions are sines. Reference: transformers/models/xglm */
export const xglm: Architecture<XglmConfig> = {
  modelTypes: ["xglm"],
  defaultTokens: { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 },
  prefix: "model",
  roles: { targets: undefined },
  parse: (json) => readConfig(json, read),
  tie: ["lm_head.weight", "model.embed_tokens.weight"],
  stack,
  heads: { vocabulary, hidden },
  newModules: [],
};
