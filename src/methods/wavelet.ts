import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";

/**
 * One level of the inverse transform along the first axis: the low half above the high one, [2 half, w] ->
 * [rows, w], of which the first are taken that all numbers of the filter [2 taps] reach.
 */
export function rebuilt(g: Graph, x: Tensor, low: readonly number[], half: number, rows: number): Tensor {
  const high = low.map((_, i) => (i % 2 === 0 ? 1 : -1) * at(low, low.length - 1 - i));
  const taps = low.length / 2;
  const count = half - taps + 1;
  const every = (parity: 0 | 1): Tensor => {
    let sum: Tensor | undefined;
    for (let t = 0; t < taps; t++)
      for (const [filter, start] of [[low, 0] as const, [high, half] as const]) {
        const from = start + taps - 1 - t;
        const part = g.mul(g.slice(x, 0, from, from + count), at(filter, 2 * t + parity));
        sum = sum === undefined ? part : g.add(sum, part);
      }
    return g.unsqueeze(sum ?? x, 1);
  };
  const pairs = g.concat([every(0), every(1)], 1); // [count, 2, w]
  const flat = g.reshape(pairs, [2 * count, ...x.shape.slice(1)]);
  return g.slice(flat, 0, 0, rows);
}
