import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { alibi } from "./parts/alibi.js";
import { attend, causalBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { clamp } from "./parts/decoder_attention.js";
import { decoderHeads, tokenHeads } from "./parts/decoder_heads.js";
import { meet, repeat } from "./parts/layers.js";
import { norm } from "./parts/norms.js";

export interface MptConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly eps: number;
  readonly scoreScale: number;
  /** q, k and v stay within -clip to clip. */
  readonly clip: number | undefined;
  readonly dropout: number;
  readonly classifierDropout: number;
}

function read(f: Fields): MptConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("d_model", 2048),
    layers: f.layers("n_layers", 24),
    heads: f.size("n_heads", 16),
  });
  const attention = f.object("attn_config");
  const clip = attention?.has("clip_qkv") === true ? attention.number("clip_qkv") : 0;
  return {
    ...commonFields(f),
    ...sizes,
    tied: f.flag("tie_word_embeddings", true),
    eps: f.number("layer_norm_epsilon", 1e-5),
    scoreScale: attention?.number("softmax_scale", sizes.headDim ** -0.5) ?? sizes.headDim ** -0.5,
    clip: clip === 0 ? undefined : clip,
    dropout: attention?.rate("attn_pdrop", 0) ?? 0,
    classifierDropout: f.rate("classifier_dropout", f.rate("hidden_dropout", 0.1)),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: MptConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("wte", x.ids, c.vocabSize, c.hiddenSize));
  const bias = g.add(causalBias(g, x.mask, dimAt(words.shape, 1)), alibi(g, x.mask, c.heads));
  const at = w.at("blocks");
  const { hidden, present } = repeat(at, c.layers, w.pack(words), x.past, { bias }, (w, x, s, past) => {
    const attended = attention(w.at("attn"), c, norm(w, "weightOnly", "norm_1", x, c.eps), s.bias, past);
    const h = meet(w, "attention", w.dropout("resid_attn_dropout", attended.x, c.dropout), x);
    const y = feedForward(w.at("ffn"), c, norm(w, "weightOnly", "norm_2", h, c.eps));
    return { x: meet(w, "feedForward", y, h), present: attended.present };
  });
  return { hidden: norm(w, "weightOnly", "norm_f", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: MptConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const { g } = w;
  const fused = clamp(g, w.linear("Wqkv", x, 3 * c.hiddenSize, { bias: false }), c.clip);
  const [q, k, v] = g.split(fused, -1, [c.hiddenSize, c.hiddenSize, c.hiddenSize]);
  const split = (part: Tensor): Tensor => splitHeads(w, part, c.heads, c.headDim);
  const present = withPast(g, { k: split(k), v: split(v) }, past);
  const mixed = attend(w, split(q), present, { scale: c.scoreScale, bias, dropout: c.dropout });
  return { x: w.output(w.linear("out_proj", mixed, c.hiddenSize, { bias: false })), present };
}

/** Four times as wide, whatever the config says. */
function feedForward(w: Module, c: MptConfig, x: Tensor): Tensor {
  const inner = w.g.gelu(w.linear("up_proj", x, 4 * c.hiddenSize, { bias: false }));
  const y = w.linear("down_proj", inner, c.hiddenSize, { bias: false });
  return w.output(w.dropout("hidden_dropout", y, c.dropout));
}

/** ALiBi, and no biases anywhere. Reference: transformers/models/mpt */
export const mpt: Architecture<MptConfig> = {
  modelTypes: ["mpt"],
  prefix: "transformer",
  roles: { targets: ["Wqkv"] },
  parse: (json) => readConfig(json, read),
  tie: ["lm_head.weight", "transformer.wte.weight"],
  stack,
  heads: { ...decoderHeads("transformer.wte.weight"), ...tokenHeads() },
  newModules: ["score", "classifier", "qa_outputs"],
};
