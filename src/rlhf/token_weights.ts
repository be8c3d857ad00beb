import type { CompletionBatch } from "../data/preference/collate.js";
import { at } from "../present.js";

/**
 * LD-DPO (arXiv 2409.06411): tokens beyond the shorter completion of a pair count `alpha`. The first token of
 * a row, which nothing stands before, is no token here. [rows, labels], chosen rows first.
 */
export function tokenWeights(
  { labels }: Pick<CompletionBatch, "labels">,
  alpha: number,
): { readonly data: Float32Array; readonly shape: readonly [number, number] } {
  const { data, shape } = labels;
  const [rows, width] = shape;
  const counts = Array.from({ length: rows }, (_, row) => {
    let n = 0;
    return Array.from({ length: width }, (_, i) => (i > 0 && at(data, row * width + i) >= 0 ? ++n : n));
  });
  const lengthOf = (row: number): number => counts[row]?.at(-1) ?? 0;
  const weights = Float32Array.from({ length: rows * width }, (_, i) => {
    const row = Math.floor(i / width);
    const shorter = Math.min(lengthOf(row), lengthOf((row + rows / 2) % rows));
    return (counts[row]?.[i % width] ?? 0) <= shorter ? 1 : alpha;
  });
  return { data: weights, shape };
}
