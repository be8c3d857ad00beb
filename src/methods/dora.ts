import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { perRow } from "./gate.js";
import type { Adapted, Merging, Site } from "./method.js";

/** W, A [r, in], B [out, r] and which way W is stored: `transposed` is [in, out]. */
export interface Factors {
  readonly weight: Tensor;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly transposed: boolean;
}

/**
 * ||W + s B A|| per output row, without the product B A:
 * ||W||^2 + 2 s rows(W A^T o B) + s^2 rows(B (A A^T) o B). No gradient (section 4.3 of arXiv 2402.09353).
 * scale s: a scalar -> [out], or [batch, 1, 1] -> [batch, 1, out].
 */
export function rowNorms(g: Graph, { weight, a, b, transposed }: Factors, scale: Tensor): Tensor {
  const squares = g.sum(g.square(weight), transposed ? 0 : 1); // [out]
  const wa = g.transpose(g.linear(a, weight, transposed), [1, 0]); // [r, out] -> [out, r]
  const cross = g.sum(g.mul(wa, b), 1); // [out]
  const gram = g.matmul(a, a, { transB: true }); // [r, r]
  const product = g.sum(g.mul(g.matmul(b, gram), b), 1); // [out]
  const square = g.add(squares, g.mul(scale, g.add(g.mul(cross, 2), g.mul(scale, product))));
  return g.detach(g.sqrt(g.max(square, 0)));
}

/**
 * y + gate ((m / n - 1) W x + (m / n) s B A x), n = ||W + s B A||. `y` is what is adapted, `wx` [...,
 * out] the base's
 * product without its bias, `low` s B A x. Reference: peft/tuners/lora/dora.py
 */
export function doraOutput(
  a: Adapted<Site>,
  factors: Factors,
  { y, wx, low }: { y: Tensor; wx: Tensor; low: Tensor },
): Tensor {
  const { g } = a;
  const norms = rowNorms(g, factors, perRow(g, a.scale, y));
  const ratio = g.div(a.p("lora_magnitude_vector"), norms); // [out]
  const change = g.add(g.mul(g.sub(ratio, 1), wx), g.mul(ratio, low));
  return g.add(y, g.mul(perRow(g, a.gate, y), change));
}

/** m V / ||V|| per output row, V = W + s B A in W's storage. */
export function mergeDora(m: Merging<Site>, merged: Tensor, transposed: boolean): Tensor {
  const { g } = m;
  const norms = g.sqrt(g.sum(g.square(merged), transposed ? 0 : 1, true));
  const magnitude = g.unsqueeze(m.p("lora_magnitude_vector"), transposed ? 0 : 1); // [out, 1] or [1, out]
  return g.mul(g.div(magnitude, norms), merged);
}
