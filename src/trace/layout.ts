import type { Dim } from "../graph/dims.js";
import { dimAt, mulDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Layout } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Packing } from "./packing.js";
import { packRows, unpackRows } from "./packing.js";

/** A layout of a stack's sequences, of which a head may see chosen positions alone. */
export interface StackLayout extends Layout {
  /**
   * How positions lie at `rows` [chunks, chunk] of the stack's flattened result [rows of a batch, positions,
   * width].
   */
  readonly chosen: (rows: Tensor, of: readonly Dim[]) => Layout;
}

const asItIs = (x: Tensor): Tensor => x;

/** [batch, length, width]. `key` [batch]: of the samples' random numbers, in training mode. */
export function paddedLayout(g: Graph, key: Tensor | undefined): StackLayout {
  const dropout: Layout["dropout"] = (x, p, site) => g.dropout(x, p, key, site);
  return {
    pack: asItIs,
    unpack: asItIs,
    dropout,
    chosen: (rows, of) => ({
      pack: asItIs,
      unpack: asItIs,
      // The mask is that of the whole [batch, length, n], so that it is one and the same wherever the chosen
      // ones lie.
      dropout: (x, p, site) => {
        if (key === undefined || p === 0) return x;
        const ones = g.expand(g.scalar(1), [...of.slice(0, -1), dimAt(x.shape, -1)]);
        return g.mul(x, g.gather(g.rows(dropout(ones, p, site)), rows));
      },
    }),
  };
}

/** [1, ...]: what is the same for all samples, and so is its mask. */
export function sameLayout(g: Graph, key: Tensor | undefined): Layout {
  return {
    pack: asItIs,
    unpack: asItIs,
    dropout: (x, p, site) =>
      key === undefined || p === 0 ? x : g.dropout(x, p, g.slice(key, 0, 0, 1), site),
  };
}

/** [1, tokens, width]: padding is left out. */
export function packedLayout(g: Graph, packing: Packing, isTraining: boolean): StackLayout {
  const drop = (x: Tensor, p: number, site: string, keyOf: () => Tensor): Tensor => {
    if (!isTraining || p === 0) return x;
    const key = keyOf();
    return g.reshape(g.dropout(g.rows(x), p, key, site), x.shape);
  };
  return {
    pack: (x) => packRows(g, x, packing),
    unpack: (x) => unpackRows(g, x, packing),
    dropout: (x, p, site) => drop(x, p, site, () => packing.key),
    chosen: (rows) => ({
      pack: asItIs,
      unpack: asItIs,
      dropout: (x, p, site) =>
        drop(x, p, site, () => g.gather(packing.key, g.reshape(rows, [mulDims(...rows.shape)]))),
    }),
  };
}
