import type { Dim } from "../graph/dims.js";
import { dimAt, mulDims } from "../graph/dims.js";
import { type Graph, siteNumber } from "../graph/graph.js";
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

type Uniform = Layout["random"];

/** Drops by a layout's random numbers. */
function droppingBy(g: Graph, random: Uniform): Layout["dropout"] {
  return (x, p, site) => {
    const numbers = p === 0 ? undefined : random(x, site);
    return numbers === undefined ? x : g.dropout(x, p, numbers);
  };
}

/** Positions that lie as they are used: their random numbers are all that there is to know. */
function asUsed(g: Graph, random: Uniform): Layout {
  return { pack: asItIs, unpack: asItIs, random, dropout: droppingBy(g, random) };
}

/** [batch, length, width]. `key` [batch]: of the samples' random numbers, in training mode. */
export function paddedLayout(g: Graph, key: Tensor | undefined): StackLayout {
  const draw = (shape: readonly Dim[], site: string): Tensor | undefined =>
    key && g.random(key, siteNumber(site), shape);
  return {
    ...asUsed(g, (x, site) => draw(x.shape, site)),
    // The numbers are those of the whole [batch, length, n], so that they are the same wherever the chosen
    // ones lie.
    chosen: (rows, of) =>
      asUsed(g, (x, site) => {
        const whole = draw([...of.slice(0, -1), dimAt(x.shape, -1)], site);
        return whole && g.gather(g.rows(whole), rows);
      }),
  };
}

/** [1, ...]: what is the same for all samples, and so is its mask. */
export function sameLayout(g: Graph, key: Tensor | undefined): Layout {
  return asUsed(g, (x, site) => key && g.random(g.slice(key, 0, 0, 1), siteNumber(site), x.shape));
}

/** [1, tokens, width]: padding is left out. */
export function packedLayout(g: Graph, packing: Packing, isTraining: boolean): StackLayout {
  const drawn =
    (keyOf: () => Tensor): Uniform =>
    (x, site) =>
      isTraining ? g.reshape(g.random(keyOf(), siteNumber(site), g.rows(x).shape), x.shape) : undefined;
  const random = drawn(() => packing.key);
  return {
    pack: (x) => packRows(g, x, packing),
    unpack: (x) => unpackRows(g, x, packing),
    random,
    dropout: droppingBy(g, random),
    chosen: (rows) =>
      asUsed(
        g,
        drawn(() => g.gather(packing.key, g.reshape(rows, [mulDims(...rows.shape)]))),
      ),
  };
}
