import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { withChange } from "./gate.js";
import type { Merging, Site, SiteMethod } from "./method.js";
import { dropChange, type WeightDropout } from "./weight_dropout.js";

/** What a change of a weight is made of. */
export interface DeltaParts {
  readonly g: Graph;
  readonly site: LinearSite;
  readonly p: (key: string) => Tensor;
  readonly shared: (key: string) => Tensor;
  /** The base's weight, [out, in]. */
  readonly weight: () => Tensor;
}

/**
 * Methods that add to a layer's weight: y = (W + s D) x + b. `delta` makes D [out, in] of the layer's
 * parameters; `dropout` says what of s D is dropped in training.
 */
export function addsToWeight<C>(
  delta: (parts: DeltaParts, c: C) => Tensor,
  dropout?: (c: C) => WeightDropout,
): Pick<SiteMethod<C, LinearSite>, "forward" | "merge"> {
  return {
    forward: (a, x, c) => {
      const { g, site } = a;
      const change = g.linear(x, delta({ ...a, weight: () => upright(g, site, a.weight()) }, c));
      return withChange(a, x, dropout ? dropChange(a, change, site.outDim, dropout(c)) : change);
    },
    merge: (m, c) => {
      const { g, site } = m;
      return withDelta(m, delta({ ...m, weight: () => upright(g, site, m.weight) }, c));
    },
  };
}

/** W + s D, D [out, in]. */
export function withDelta(m: Merging<LinearSite>, d: Tensor): { weight: Tensor } {
  const { g, site, weight, scale } = m;
  return { weight: g.add(weight, g.mul(upright(g, site, d), scale)) };
}

/** A matrix that is zero but for n numbers [n] at flat places [1, n], all of them different. */
export function scattered(
  g: Graph,
  numbers: Tensor,
  places: Tensor,
  [rows, columns]: readonly [number, number],
): Tensor {
  return g.reshape(g.scatterLast(g.unsqueeze(numbers, 0), places, rows * columns), [rows, columns]);
}

/** Between [out, in] and the order in which the layer holds its weight. */
export function upright(g: Graph, { transposed }: LinearSite, weight: Tensor): Tensor {
  return transposed ? g.transpose(weight, [1, 0]) : weight;
}

/** The linear ones of all layers where an adapter stands. */
export function linearsOf(all: readonly Site[]): readonly LinearSite[] {
  return all.filter((site) => "inDim" in site);
}
