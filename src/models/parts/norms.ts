import { lengthAt } from "../../graph/dims.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";

/**
 * How a model norms over the last axis.
 * - rms, layer: with a weight, and layer with a bias
 * - rms1p, layer1p: their weights count from 1
 * - weightOnly: layer without a bias
 * - bare: layer without weight and bias
 */
export type NormKind = "rms" | "rms1p" | "layer" | "layer1p" | "weightOnly" | "bare";

/** x [..., width] -> its norm, by the weights of the module `name`. */
export function norm(w: Module, kind: NormKind, name: string, x: Tensor, eps: number): Tensor {
  if (kind === "rms") return w.rmsNorm(name, x, eps);
  if (kind === "layer") return w.layerNorm(name, x, eps);
  const { g } = w;
  const at = w.at(name);
  const dim = [lengthAt(x.shape, -1)];
  const ones = (): Tensor => g.expand(g.scalar(1), dim);
  const stored = (): Tensor => at.get("weight", dim);
  if (kind === "rms1p") return at.output(g.rmsNorm(x, g.add(stored(), 1), eps));
  if (kind === "layer1p") return at.output(g.layerNorm(x, g.add(stored(), 1), at.get("bias", dim), eps));
  const scale = kind === "weightOnly" ? stored() : ones();
  return at.output(g.layerNorm(x, scale, g.zeros(dim), eps));
}
