import { dimAt, lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import type { SayFault } from "./method.js";

/**
 * Block-diagonal matrices, as OFT and BOFT have them: D [blocks, size, size], what a rotation adds to the
 * identity.
 */

/** Rows x [..., inDim] times the blocks D [blocks, size, size]; one block stands for all. */
export function timesBlocks(g: Graph, x: Tensor, d: Tensor): Tensor {
  const [blocks, size] = [lengthAt(d.shape, 0), lengthAt(d.shape, 1)];
  if (blocks === 1) {
    const pieces = [...x.shape.slice(0, -1), lengthAt(x.shape, -1) / size, size];
    return g.reshape(g.linear(g.reshape(x, pieces), g.squeeze(d, 0), true), x.shape);
  }
  const rows = g.rows(x); // [rows, inDim] -> [blocks, rows, size]
  const cut = g.transpose(g.reshape(rows, [dimAt(rows.shape, 0), blocks, size]), [1, 0, 2]);
  return g.reshape(g.transpose(g.matmul(cut, d), [1, 0, 2]), x.shape);
}

/** The same blocks the other way round. */
export function flipped(g: Graph, d: Tensor): Tensor {
  return g.transpose(d, [0, 2, 1]);
}

/** D = (I - Q) (I + Q)^-1 - I = -2 Q (I + Q)^-1 of skew-symmetric Q [blocks, size, size]. */
export function cayley(g: Graph, q: Tensor): Tensor {
  const size = lengthAt(q.shape, -1);
  const identity = g.constant(
    Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)),
    [size, size],
  );
  const a = g.add(q, identity);
  const y = inverse(g, g.detach(a));
  // One step of Newton's: the inverse's gradient without going back through its making.
  const refined = g.matmul(y, g.sub(g.mul(identity, 2), g.matmul(a, y)));
  return g.mul(g.matmul(q, refined), -2);
}

/**
 * Gauss and Jordan in place, one pivot after the other: A - (A e_k - e_k) (e_k^T A + e_k^T) / A_kk. The
 * order needs no choice, as the symmetric part of I + Q is I: every pivot is at least 1.
 */
function inverse(g: Graph, a: Tensor): Tensor {
  const size = lengthAt(a.shape, -1);
  let x = a;
  for (let k = 0; k < size; k++) {
    const e = Array.from({ length: size }, (_, i) => (i === k ? 1 : 0));
    const below = g.slice(x, 2, k, k + 1); // [blocks, size, 1]
    const across = g.slice(x, 1, k, k + 1); // [blocks, 1, size]
    const column = g.div(g.sub(below, g.constant(e, [size, 1])), g.slice(below, 1, k, k + 1));
    x = g.sub(x, g.mul(column, g.add(across, g.constant(e, [1, size]))));
  }
  return x;
}

/** A block's size or the number of blocks: one of the two is given, the other is 0. */
export function checkOneGiven<K extends string>(
  c: Readonly<Record<K, number>>,
  { size, count, usual }: { readonly size: K; readonly count: K; readonly usual: number },
  fault: SayFault,
): void {
  if ((c[size] === 0) !== (c[count] === 0)) return;
  fault(
    words`${option(size)} is ${c[size]} and ${option(count)} is ${c[count]}.`,
    "their product is a layer's width: one is given, and the other, which follows from it, is 0.",
    words`${option(size, c[size] || usual)}, ${option(count, 0)}.`,
  );
}
