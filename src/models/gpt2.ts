import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, causalBias, splitFused, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads, tokenHeads } from "./parts/decoder_heads.js";
import { meet, repeat } from "./parts/layers.js";

export interface Gpt2Config extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly maxPositions: number;
  /** Heads of keys and values. */
  readonly kvHeads: number;
  /** q, k and v of one head are side by side. */
  readonly byHead: boolean;
  /** Layers are Conv1D: linear ones whose weights are stored [in, out]. */
  readonly transposed: boolean;
  /** Factor of the scores, layer by layer. */
  readonly scales: readonly number[];
  readonly embeddingDropout: number;
  readonly attentionDropout: number;
  readonly residualDropout: number;
  readonly classifierDropout: number;
}

/** The fields of GPT-2 and of those that have its names. */
export function readGpt2(f: Fields): Gpt2Config {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("n_embd"),
    layers: f.layers("n_layer"),
    heads: f.size("n_head"),
  });
  if (f.flag("add_cross_attention", false))
    f.unbuilt(`"add_cross_attention" is true, and peft.js knows GPT-2 as a decoder of its own`);
  const scale = f.flag("scale_attn_weights", true) ? sizes.headDim ** -0.5 : 1;
  const byLayer = f.flag("scale_attn_by_inverse_layer_idx", false);
  return {
    ...commonFields(f),
    ...sizes,
    tied: f.flag("tie_word_embeddings", true),
    inter: f.size("n_inner", 4 * sizes.hiddenSize),
    activation: f.choice("activation_function", activationNames, "gelu_new"),
    eps: f.number("layer_norm_epsilon", 1e-5),
    maxPositions: f.count("n_positions", 1024),
    kvHeads: sizes.heads,
    byHead: false,
    transposed: true,
    scales: Array.from({ length: sizes.layers }, (_, i) => (byLayer ? scale / (i + 1) : scale)),
    embeddingDropout: f.rate("embd_pdrop", 0.1),
    attentionDropout: f.rate("attn_pdrop", 0.1),
    residualDropout: f.rate("resid_pdrop", 0.1),
    classifierDropout: f.rate("classifier_dropout", f.rate("hidden_dropout", 0.1)),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: Gpt2Config, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("wte", x.ids, c.vocabSize, c.hiddenSize));
  const positions = w.embedding("wpe", x.positions, c.maxPositions, c.hiddenSize, c.maxPositions);
  const { hidden, present } = repeat(
    w.at("h"),
    c.layers,
    w.dropout("drop", w.pack(g.add(words, positions)), c.embeddingDropout),
    x.past,
    { bias: causalBias(g, x.mask, dimAt(words.shape, 1)) },
    (w, x, { bias }, past, i) => {
      const options = { scale: at(c.scales, i), bias, dropout: c.attentionDropout };
      const attended = attention(w.at("attn"), c, w.layerNorm("ln_1", x, c.eps), options, past);
      const h = meet(w, "attention", attended.x, x);
      const y = feedForward(w.at("mlp"), c, w.layerNorm("ln_2", h, c.eps));
      return { x: meet(w, "feedForward", y, h), present: attended.present };
    },
  );
  return { hidden: w.layerNorm("ln_f", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: Gpt2Config,
  x: Tensor,
  options: { scale: number; bias: Tensor; dropout: number },
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const { q, k, v } = project(w, c, x);
  const present = withPast(w.g, { k, v }, past);
  const y = w.linear("c_proj", attend(w, q, present, options), c.hiddenSize, { transposed: c.transposed });
  return { x: w.output(w.dropout("resid_dropout", y, c.residualDropout)), present };
}

function project(w: Module, c: Gpt2Config, x: Tensor): KeyValue & { q: Tensor } {
  const kvWidth = c.kvHeads * c.headDim;
  const fused = w.linear("c_attn", x, c.hiddenSize + 2 * kvWidth, { transposed: c.transposed });
  if (c.byHead) return splitFused(w, fused, c.heads, c.headDim);
  const [q, k, v] = w.g.split(fused, -1, [c.hiddenSize, kvWidth, kvWidth]);
  const heads = (part: Tensor, count: number): Tensor => splitHeads(w, part, count, c.headDim);
  return { q: heads(q, c.heads), k: heads(k, c.kvHeads), v: heads(v, c.kvHeads) };
}

function feedForward(w: Module, c: Gpt2Config, x: Tensor): Tensor {
  const options = { transposed: c.transposed };
  const inner = activate(w.g, c.activation, w.linear("c_fc", x, c.inter, options));
  const y = w.linear("c_proj", inner, c.hiddenSize, options);
  return w.output(w.dropout("dropout", y, c.residualDropout));
}

/** Reference: transformers/models/gpt2 */
export const gpt2: Architecture<Gpt2Config> = {
  modelTypes: ["gpt2"],
  defaultTokens: { bos_token_id: 50256, eos_token_id: 50256 },
  prefix: "transformer",
  roles: {
    targets: ["c_attn"],
    norms: ["ln_1", "ln_2", "ln_f"],
    scaled: { targets: ["c_attn", "mlp.c_proj"], feedforward: ["mlp.c_proj"] },
  },
  parse: (json) => readConfig(json, readGpt2),
  tie: ["lm_head.weight", "transformer.wte.weight"],
  stack,
  heads: { ...decoderHeads("transformer.wte.weight"), ...tokenHeads() },
  newModules: ["score", "classifier", "qa_outputs"],
};
