import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, causalBias, splitHeads, withPast } from "./parts/attention.js";
import { withoutLevel } from "./parts/clip_layers.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { meet, repeat } from "./parts/layers.js";

export interface ClipTextConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly maxPositions: number;
  /** The id that ends a text. */
  readonly end: number;
  readonly attentionDropout: number;
}

export function readClipText(f: Fields): ClipTextConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size", 512),
    layers: f.layers("num_hidden_layers", 12),
    heads: f.size("num_attention_heads", 8),
  });
  return {
    ...commonFields(f),
    ...sizes,
    tied: false,
    inter: f.size("intermediate_size", 2048),
    activation: f.choice("hidden_act", activationNames, "quick_gelu"),
    eps: f.number("layer_norm_eps", 1e-5),
    maxPositions: f.count("max_position_embeddings", 77),
    end: f.id("eos_token_id") ?? 49407,
    attentionDropout: f.rate("attention_dropout", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden]: causal, though it only encodes. */
export function clipTextStack(w: Module, c: ClipTextConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const at = w.at("embeddings");
  const words = w.trace.prepend(at.embedding("token_embedding", x.ids, c.vocabSize, c.hiddenSize));
  const positions = at.embedding(
    "position_embedding",
    x.positions,
    c.maxPositions,
    c.hiddenSize,
    c.maxPositions,
  );
  const { hidden, present } = repeat(
    w.at("encoder.layers"),
    c.layers,
    w.pack(g.add(words, positions)),
    x.past,
    { bias: causalBias(g, x.mask, dimAt(words.shape, 1)) },
    (w, x, { bias }, past) => {
      const attended = attention(w.at("self_attn"), c, w.layerNorm("layer_norm1", x, c.eps), bias, past);
      const h = meet(w, "attention", attended.x, x);
      const y = feedForward(w.at("mlp"), c, w.layerNorm("layer_norm2", h, c.eps));
      return { x: meet(w, "feedForward", y, h), present: attended.present };
    },
  );
  return { hidden: w.layerNorm("final_layer_norm", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: ClipTextConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(`${name}_proj`, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("q");
  const present = withPast(w.g, { k: project("k"), v: project("v") }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: w.output(w.linear("out_proj", mixed, c.hiddenSize)), present };
}

function feedForward(w: Module, c: ClipTextConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("fc1", x, c.inter));
  return w.output(w.linear("fc2", inner, c.hiddenSize));
}

/** CLIP's text encoder, as Stable Diffusion has it. Reference: transformers/models/clip */
export const clipText: Architecture<ClipTextConfig> = {
  modelTypes: ["clip_text_model"],
  defaultTokens: { bos_token_id: 49406, eos_token_id: 49407, pad_token_id: 1 },
  prefix: "",
  roles: { targets: undefined },
  parse: (json) => readConfig(json, readClipText),
  checkpoint: { modules: withoutLevel("text_model", ["encoder", "embeddings", "final_layer_norm"]) },
  stack: clipTextStack,
  heads: { hidden: (_, __, hidden) => hidden },
  newModules: [],
};
