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
import type { NormKind } from "./parts/norms.js";
import { norm } from "./parts/norms.js";
import { realPositions } from "./parts/positions.js";

export interface OptConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  /**
   * Width of the embeddings and of the head; where it is not the hidden size, project_in and project_out
   * stand between.
   */
  readonly embeddingDim: number;
  readonly activation: Activation;
  readonly bias: boolean;
  readonly norm: NormKind;
  /** Norms stand before attention and feed-forward; after them in the 350m model. */
  readonly preNorm: boolean;
  readonly finalNorm: boolean;
  readonly maxPositions: number;
  readonly dropout: number;
  readonly attentionDropout: number;
}

/** The table of positions begins with rows for padding. */
const OFFSET = 2;
const EPS = 1e-5;
const NORMS = { attention: "self_attn_layer_norm", feedForward: "final_layer_norm" } as const;

function read(f: Fields): OptConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size"),
    layers: f.layers("num_hidden_layers"),
    heads: f.size("num_attention_heads"),
  });
  if (f.rate("layerdrop", 0) > 0) f.unbuilt(`"layerdrop" is not 0, and peft.js leaves no layer out`);
  const preNorm = f.flag("do_layer_norm_before", true);
  return {
    ...commonFields(f),
    initializerRange: f.number("init_std", 0.02),
    ...sizes,
    tied: f.flag("tie_word_embeddings", true),
    inter: f.size("ffn_dim"),
    embeddingDim: f.size("word_embed_proj_dim", sizes.hiddenSize),
    activation: f.choice("activation_function", activationNames, "relu"),
    bias: f.flag("enable_bias", true),
    norm: f.flag("layer_norm_elementwise_affine", true) ? "layer" : "bare",
    preNorm,
    finalNorm: preNorm && !f.flag("_remove_final_layer_norm", false),
    maxPositions: f.count("max_position_embeddings", 2048),
    dropout: f.rate("dropout", 0.1),
    attentionDropout: f.rate("attention_dropout", 0),
  };
}

/** ids -> [batch, virtual + seq, embeddingDim]. Positions always count the mask, in training too. */
function stack(w: Module, c: OptConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const at = w.at("decoder");
  const words = w.trace.prepend(at.embedding("embed_tokens", x.ids, c.vocabSize, c.embeddingDim));
  const length = dimAt(words.shape, 1);
  const projects = c.embeddingDim !== c.hiddenSize;
  const packed = w.pack(words);
  const embedded = projects ? at.linear("project_in", packed, c.hiddenSize, { bias: false }) : packed;
  const places = g.add(realPositions(g, x.mask, length), g.scalar(OFFSET, "i64"));
  const rows = c.maxPositions + OFFSET;
  const positions = at.embedding("embed_positions", places, rows, c.hiddenSize, c.maxPositions);
  const { hidden, present } = repeat(
    at.at("layers"),
    c.layers,
    g.add(embedded, w.pack(positions)),
    x.past,
    { bias: causalBias(g, x.mask, length) },
    (w, x, s, past) => {
      const attended = attention(w, c, x, s.bias, past);
      return { x: feedForward(w, c, attended.x), present: attended.present };
    },
  );
  const last = c.finalNorm ? norm(at, c.norm, "final_layer_norm", hidden, EPS) : hidden;
  return {
    hidden: projects ? at.linear("project_out", last, c.embeddingDim, { bias: false }) : last,
    present,
  };
}

/** x + dropout(y), where y saw x's norm, or else the norm of the sum. */
function add(w: Module, c: OptConfig, does: keyof typeof NORMS, x: Tensor, y: Tensor): Tensor {
  const h = w.dropout("dropout", y, c.dropout);
  return meet(w, does, h, x, { norm: c.preNorm ? undefined : (x) => norm(w, c.norm, NORMS[does], x, EPS) });
}

function attention(
  w: Module,
  c: OptConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const at = w.at("self_attn");
  const normed = c.preNorm ? norm(w, c.norm, NORMS.attention, x, EPS) : x;
  const project = (name: string): Tensor =>
    splitHeads(w, at.linear(name, normed, c.hiddenSize, { bias: c.bias }), c.heads, c.headDim);
  const q = project("q_proj");
  const present = withPast(w.g, { k: project("k_proj"), v: project("v_proj") }, past);
  const mixed = attend(at, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  const y = at.output(at.linear("out_proj", mixed, c.hiddenSize, { bias: c.bias }));
  return { x: add(w, c, "attention", x, y), present };
}

function feedForward(w: Module, c: OptConfig, x: Tensor): Tensor {
  const normed = c.preNorm ? norm(w, c.norm, NORMS.feedForward, x, EPS) : x;
  const inner = activate(w.g, c.activation, w.linear("fc1", normed, c.inter, { bias: c.bias }));
  return add(w, c, "feedForward", x, w.linear("fc2", inner, c.hiddenSize, { bias: c.bias }));
}

/** Reference: transformers/models/opt */
export const opt: Architecture<OptConfig> = {
  modelTypes: ["opt"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 2, pad_token_id: 1 },
  prefix: "model",
  roles: {
    targets: ["q_proj", "v_proj"],
    scaled: { targets: ["q_proj", "k_proj", "fc2"], feedforward: ["fc2"] },
  },
  parse: (json) => readConfig(json, read),
  tie: ["lm_head.weight", "model.decoder.embed_tokens.weight"],
  countsMask: true,
  stack,
  heads: decoderHeads("model.decoder.embed_tokens.weight"),
  newModules: ["score"],
};
