import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";

/** A head's reading of all layers: sum of softmax(layer_weights)[i] states[i]. `w` has the weights. */
export function weightedStates(w: Module, states: readonly Tensor[]): Tensor {
  const { g } = w;
  const shares = g.softmax(w.get("layer_weights", [states.length]));
  const parts = states.map((state, i) => g.mul(state, g.slice(shares, 0, i, i + 1)));
  return parts.reduce((sum, part) => g.add(sum, part));
}
