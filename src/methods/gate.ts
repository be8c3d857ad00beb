import { dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";

/** What a layer gives, with s times a change of it. */
export function withChange(
  { g, scale, next }: { readonly g: Graph; readonly scale: Tensor; readonly next: (x: Tensor) => Tensor },
  x: Tensor,
  change: Tensor,
): Tensor {
  return g.add(next(x), g.mul(change, perRow(g, scale, change)));
}

/**
 * A gate or scale [batch, 1, 1] for an input of another rank, such as a pooler's [batch, hidden]. Scalars
 * stay.
 */
export function perRow(g: Graph, gate: Tensor, x: Tensor): Tensor {
  const rank = x.shape.length;
  if (gate.shape.length === 0 || gate.shape.length === rank) return gate;
  return g.reshape(
    gate,
    x.shape.map((_, i) => (i === 0 ? dimAt(gate.shape, 0) : 1)),
  );
}
