import type { NamesOf } from "../arguments.js";
import type { Floats, Ids } from "./batch.js";

/** How samples of different lengths become one batch. */
export interface CollateOptions {
  /** Stands where a sample is shorter; masks leave it out. */
  padTokenId: number;
  /** Where padding goes. Targets of encoder-decoders are padded at their end whatever this says. */
  paddingSide?: "left" | "right" | undefined;
  /** Widths are rounded up to a multiple of this. */
  padToMultipleOf?: number | undefined;
}

export const collateNames: NamesOf<CollateOptions> = {
  padTokenId: {},
  paddingSide: {},
  padToMultipleOf: {},
};

/** Rows of different length -> [rows, width], filled up with `value`. */
export function pad(
  rows: readonly Int32Array[],
  value: number,
  { paddingSide = "right", padToMultipleOf = 1 }: Omit<CollateOptions, "padTokenId">,
): Ids {
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const width = Math.ceil(longest / padToMultipleOf) * padToMultipleOf;
  const data = new Int32Array(rows.length * width).fill(value);
  for (const [i, row] of rows.entries()) {
    data.set(row, i * width + (paddingSide === "left" ? width - row.length : 0));
  }
  return { data, shape: [rows.length, width] };
}

/** One number a row -> [rows, 1] */
export function column(values: readonly number[]): Ids {
  return { data: Int32Array.from(values), shape: [values.length, 1] };
}

/** Rows of one length -> [rows, width] */
export function stack(rows: readonly Float32Array[]): Floats {
  const width = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) data.set(row, i * width);
  return { data, shape: [rows.length, width] };
}
