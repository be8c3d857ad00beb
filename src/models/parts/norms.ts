import { lengthAt } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";

/**
 * How a model norms over the last axis.
 * - rms, layer: with a weight, and layer with a bias
 * - rms1p, layer1p: their weights count from 1
 * - weightOnly: layer without a bias
 * - bare: layer without weight and bias
 * - bareRms: rms without a weight
 */
export type NormKind = "rms" | "rms1p" | "layer" | "layer1p" | "weightOnly" | "bare" | "bareRms";

/** x [..., width] -> its norm, by the weights of the module `name`. */
export function norm(w: Module, kind: NormKind, name: string, x: Tensor, eps: number): Tensor {
  if (kind === "rms") return w.rmsNorm(name, x, eps);
  if (kind === "layer") return w.layerNorm(name, x, eps);
  const { g } = w;
  const at = w.at(name);
  const dim = [lengthAt(x.shape, -1)];
  if (kind === "bare") return at.output(unbiased(g, x, undefined, eps));
  if (kind === "bareRms") return at.output(g.rmsNorm(x, filled(g, x, 1), eps));
  const stored = at.get("weight", dim);
  if (kind === "weightOnly") return at.output(unbiased(g, x, stored, eps));
  if (kind === "rms1p") return at.output(g.rmsNorm(x, g.add(stored, 1), eps));
  return at.output(g.layerNorm(x, g.add(stored, 1), at.get("bias", dim), eps));
}

/** Layer norm without a bias: x [..., width], scale [width], or none. */
export function unbiased(g: Graph, x: Tensor, scale: Tensor | undefined, eps: number): Tensor {
  return g.layerNorm(x, scale ?? filled(g, x, 1), filled(g, x, 0), eps);
}

/** As many numbers as x is wide: constants, so that each block has its own. */
function filled(g: Graph, x: Tensor, value: number): Tensor {
  const width = lengthAt(x.shape, -1);
  return g.constant(new Array<number>(width).fill(value), [width]);
}
