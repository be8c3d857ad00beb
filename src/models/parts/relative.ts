import { dimAt } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { TextInputs } from "../model.js";
import { firstQuery } from "./attention.js";

/** How distances between tokens are grouped. */
export interface Distances {
  readonly buckets: number;
  /** Distances from here on are one bucket, in tokens. */
  readonly farthest: number;
  /** Keys ahead of a query have buckets of their own. */
  readonly isBidirectional: boolean;
}

/** The bucket of each distance of key and query, i64 [queries, keys]; past keys stand in front. */
export function relativeBuckets(
  g: Graph,
  x: Pick<TextInputs, "positions" | "mask">,
  { buckets, farthest, isBidirectional }: Distances,
): Tensor {
  const [queries, keys] = [dimAt(x.positions.shape, 1), dimAt(x.mask.shape, 1)];
  const query = g.unsqueeze(g.add(g.iota(queries), firstQuery(g, x.mask, queries)), 1); // [queries, 1]
  const ahead = g.sub(g.unsqueeze(g.iota(keys), 0), query); // [queries, keys]
  const table = g.constant(bucketTable(buckets, farthest, isBidirectional), [2 * farthest + 1], "i64");
  return g.gather(table, g.add(g.max(g.min(ahead, farthest), -farthest), farthest));
}

/**
 * What scores gain by distance, [1, heads, queries, keys]; `w` is the module of the table
 * `relative_attention_bias`, which has `rows` rows.
 */
export function relativeBias(w: Module, buckets: Tensor, rows: number, heads: number): Tensor {
  const bias = w.embedding("relative_attention_bias", buckets, rows, heads); // [queries, keys, heads]
  return w.g.unsqueeze(w.g.transpose(bias, [2, 0, 1]), 0);
}

/**
 * The bucket of each distance key - query from -maxDistance to maxDistance, beyond which it does not change.
 * Logarithms are rounded to f32 at each step as torch does, so that distances on a boundary fall into the
 * same.
 * Reference: transformers/models/t5/modeling_t5.py
 */
export function bucketTable(buckets: number, maxDistance: number, bidirectional: boolean): number[] {
  const half = bidirectional ? Math.floor(buckets / 2) : buckets;
  const exact = Math.floor(half / 2);
  const f32 = Math.fround;
  const bucket = (distance: number): number => {
    if (distance < exact) return distance;
    const ratio = f32(f32(Math.log(f32(distance / exact))) / f32(Math.log(maxDistance / exact)));
    return Math.min(exact + Math.trunc(f32(ratio * (half - exact))), half - 1);
  };
  return Array.from({ length: 2 * maxDistance + 1 }, (_, i) => {
    const ahead = i - maxDistance;
    if (ahead <= 0) return bucket(Math.abs(ahead));
    return bidirectional ? half + bucket(ahead) : 0;
  });
}
