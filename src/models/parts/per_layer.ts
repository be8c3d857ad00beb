import { activate } from "../../graph/activations.js";
import { axes } from "../../graph/dims.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { DecoderConfig } from "./decoder_config.js";

/** An embedding beside that of the tokens, of which each layer reads its part. */
export interface PerLayerConfig extends DecoderConfig {
  /** Words of it, and how wide each layer's part is; 0: there is none. */
  readonly perLayer: { readonly vocab: number; readonly width: number };
}

/**
 * What each layer reads beside x: norm(projection of the embeddings) + its embeddings of the ids; where
 * virtual tokens have no ids, of no token. embedded [batch, virtual + seq, hidden]
 */
export function perLayerInputs(
  w: Module,
  c: PerLayerConfig,
  ids: Tensor,
  words: Tensor,
  embedded: Tensor,
): (layer: number) => Tensor {
  const { g } = w;
  const { vocab, width } = c.perLayer;
  const apart = (x: Tensor): Tensor => {
    const [batch, seq] = axes(x.shape, 3);
    return g.reshape(x, [batch, seq, c.layers, width]);
  };
  const projected = w.linear("per_layer_model_projection", w.pack(embedded), c.layers * width, {
    bias: false,
  });
  const normed = w.rmsNorm("per_layer_projection_norm", apart(g.mul(projected, c.hiddenSize ** -0.5)), c.eps);
  const isKnown = words === embedded;
  const looked = (): Tensor => {
    const known = g.where(g.less(ids, g.scalar(vocab, "i64")), ids, g.scalar(0, "i64"));
    const all = w.embedding("embed_tokens_per_layer", known, vocab, c.layers * width);
    return apart(w.pack(g.mul(all, width ** 0.5)));
  };
  const all = isKnown ? g.mul(g.add(normed, looked()), Math.SQRT1_2) : normed;
  return (layer) => g.squeeze(g.slice(all, 2, layer, layer + 1), 2); // [batch, seq, width]
}

/** norm(projection(act(gate(x)) * own)): x [batch, seq, hidden], own [batch, seq, width] */
export function perLayerResidual(w: Module, c: PerLayerConfig, x: Tensor, own: Tensor): Tensor {
  const { g } = w;
  const gate = w.linear("per_layer_input_gate", x, c.perLayer.width, { bias: false });
  const inner = g.mul(activate(g, c.activation, gate), own);
  const y = w.linear("per_layer_projection", inner, c.hiddenSize, { bias: false });
  return w.rmsNorm("post_per_layer_input_norm", y, c.eps);
}
