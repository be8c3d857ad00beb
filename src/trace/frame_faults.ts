import type { BatchColumn } from "../data/batch.js";
import { at } from "../present.js";

/** Samples, what is heard of them, and labels of a batch. */
interface Clips {
  readonly values: BatchColumn | undefined;
  readonly heard: BatchColumn | undefined;
  readonly labels: BatchColumn | undefined;
}

/**
 * What is wrong with clips that become frames: clips too short for one, and with `needsPath` letters that do
 * not fit into their frames, which CTC would find infinitely unlikely.
 */
export function frameFaults(
  { values, heard, labels }: Clips,
  framesOf: (samples: number) => number,
  needsPath: boolean,
): string[] {
  if (values === undefined) return [];
  const [rows = 0, most = 0] = values.shape;
  const samples = Array.from({ length: rows }, (_, row) =>
    heard === undefined ? most : sum(heard.data.subarray(row * most, (row + 1) * most)),
  );
  const short = samples.find((n) => framesOf(n) < 1);
  if (short !== undefined) return [`a clip has ${short} samples, too few for a frame`];
  if (!needsPath || labels === undefined) return [];
  const [, width = 0] = labels.shape;
  const unfit = samples.flatMap((n, row) => {
    const letters = [...labels.data.subarray(row * width, (row + 1) * width)].filter((label) => label >= 0);
    const needed = letters.length + letters.filter((letter, i) => letter === letters[i - 1]).length;
    return needed > framesOf(n) ? [`row ${row} needs ${needed} and has ${framesOf(n)}`] : [];
  });
  if (unfit.length === 0) return [];
  return [`${unfit.length} of ${rows} rows have more letters than frames (${at(unfit, 0)})`];
}

function sum(numbers: BatchColumn["data"]): number {
  let total = 0;
  for (const x of numbers) total += x;
  return total;
}
