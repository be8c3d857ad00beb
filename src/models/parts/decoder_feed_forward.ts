import { activate } from "../../graph/activations.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { DecoderConfig } from "./decoder_config.js";

/** down(act(gate) up), or down(act(up)): x [batch, seq, hidden] -> [batch, seq, hidden] */
export function decoderFeedForward(layer: Module, c: DecoderConfig, x: Tensor): Tensor {
  return feedForwardAt(layer.at("mlp"), c, x);
}

/** The same in a module of its own. */
export function feedForwardAt(w: Module, c: DecoderConfig, x: Tensor): Tensor {
  const y = w.linear(c.mlp.down, inner(w, c, x), c.hiddenSize, { bias: c.mlpBias });
  return w.output(w.dropout("dropout", y, c.mlpDropout));
}

/** [batch, seq, inter] */
function inner(w: Module, c: DecoderConfig, x: Tensor): Tensor {
  const { g } = w;
  const linear = (name: string, width: number): Tensor => w.linear(name, x, width, { bias: c.mlpBias });
  const { gate, up, fused = false } = c.mlp;
  if (fused) {
    const [gated, through] = g.split(linear(up, 2 * c.inter), -1, [c.inter, c.inter]);
    return g.mul(through, activate(g, c.activation, gated));
  }
  if (gate === undefined) return activate(g, c.activation, linear(up, c.inter));
  return g.mul(activate(g, c.activation, linear(gate, c.inter)), linear(up, c.inter));
}
