import type { Dim, Shape } from "../../graph/dims.js";
import type { DType, OpName, Ops } from "../../graph/ops.js";
import type { ProgramNode } from "../program.js";

/** What a primitive takes of an arena while it runs, beside its result. */
export interface Cost {
  /** It is its first input under another shape. */
  readonly alias?: boolean;
  /** Bytes of each intermediate result; all of them are alive at once. */
  readonly scratch?: readonly number[];
}

/** Numbers that costs are counted from: elements of a shape, in the batch at hand. */
export interface Sizes {
  readonly elements: (shape: Shape) => number;
  readonly dim: (dim: Dim) => number;
  /** Shape of a node's input. */
  readonly input: (i: number) => Shape;
  /** Results beyond the first that are wanted. */
  readonly wanted: ReadonlySet<number>;
}

export const BYTES_OF: Readonly<Record<DType, number>> = { f32: 4, i64: 8, i32: 4, bool: 1 };

type Rule<K extends OpName> = (node: ProgramNode<K>, s: Sizes) => Cost;

const ALIAS: Cost = { alias: true };

function reduce({ attrs }: { readonly attrs: Ops["sum"] }): Cost {
  return attrs.axes.length === 0 ? ALIAS : {};
}

/** Primitives whose lowering makes more than their result; the rest are one node with one result. */
const costs: { readonly [K in OpName]?: Rule<K> } = {
  reshape: () => ALIAS,
  detach: () => ALIAS,
  sum: reduce,
  mean: reduce,
  amax: reduce,
  gelu: (node, s) => ({ scratch: node.attrs.approximate === "tanh" ? [4 * s.elements(node.shape)] : [] }),
  // a chain of u32 results, of which a value, its shift and what comes of both are alive together
  random: (node, s) => ({ scratch: [4 * s.elements(node.shape), 4 * s.elements(node.shape)] }),
  scatterAdd: (node, s) => {
    const { axis } = node.attrs;
    const [moved, sums] = [4 * s.elements(s.input(0)), 4 * s.elements(node.shape)];
    return { scratch: axis === 0 ? [sums] : [moved, sums, sums] };
  },
  scatterLast: (node, s) => ({ scratch: [4 * s.elements(node.shape)] }),
  moveRows: (node, s) => ({ scratch: node.attrs.fill ? [4 * s.elements(node.shape)] : [] }),
  // a chunk's logits and their exponentials, or the logits before them
  crossEntropy: (_, s) => {
    const [chunk, hidden] = s.input(0).slice(1).map(s.dim) as [number, number];
    const logits = 4 * chunk * s.dim(s.input(1)[0]!);
    const rows = 4 * chunk * hidden;
    return { scratch: s.wanted.has(1) ? [logits, logits, rows, rows] : [logits, logits] };
  },
};

export function costOf<K extends OpName>(node: ProgramNode<K>, s: Sizes): Cost {
  const rule = costs[node.op] as Rule<K> | undefined;
  return rule?.(node, s) ?? {};
}
