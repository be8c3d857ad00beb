import { axes } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";
import { realPositions } from "./positions.js";

/**
 * What a head's scores gain at each key by its number among the real tokens (2108.12409): mask [batch, keys]
 * -> [batch, heads, 1, keys]. A query's own number falls out of the softmax. `as`: bits of numbers.
 */
export function alibi(g: Graph, mask: Tensor, heads: number, as: "f32" | "bf16" = "f32"): Tensor {
  const [batch, keys] = axes(mask.shape, 2);
  const real = g.min(mask, 1); // numbers of documents count as tokens
  const at = g.reshape(g.cast(realPositions(g, real, keys), "f32"), [batch, 1, 1, keys]);
  const each = g.constant(slopes(heads), [1, heads, 1, 1]);
  return as === "f32" ? g.mul(at, each) : rounded(g, g.mul(rounded(g, at), rounded(g, each)));
}

/** x rounded to the 8 bits that a bf16 keeps, in f32 (Veltkamp's split). */
function rounded(g: Graph, x: Tensor): Tensor {
  const wide = g.mul(x, 2 ** 16 + 1);
  return g.sub(wide, g.sub(wide, x));
}

/**
 * One slope per head: 2^(-8 i / n) for the n heads up to a power of two, every other one of 2n heads for the
 * rest.
 */
export function slopes(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads));
  return Array.from({ length: heads }, (_, i) =>
    i < power ? 2 ** ((-8 * (i + 1)) / power) : 2 ** ((-4 * (2 * (i - power) + 1)) / power),
  );
}
