import { PeftError } from "../../errors.js";
import { option, words } from "../../words.js";

/** How rows become as long as each other; named as in transformers. */
export interface PaddingOptions {
  /** `true` is "longest"; "max_length" pads to maxLength. @default "longest"; of Whisper "max_length" */
  readonly padding?: boolean | "longest" | "max_length" | undefined;
  /** Samples (of Seamless: frames) a row is padded or cut to. @default of Whisper its window, else none */
  readonly maxLength?: number | undefined;
  /** Whether longer rows are cut to maxLength. @default false; of Whisper true */
  readonly truncation?: boolean | undefined;
  /** Rows are padded to a multiple of this. @default 1; of Seamless 2 */
  readonly padToMultipleOf?: number | undefined;
}

/** Where padding stands, and what it is. */
export interface Padder {
  readonly side: "left" | "right";
  readonly value: number;
}

/** Rows side by side. */
export interface PaddedRows {
  readonly data: Float32Array; // [rows, length, width]
  readonly mask: Int32Array; // [rows, length]
  readonly length: number;
  /** How long each row was, after it was cut. */
  readonly lengths: readonly number[];
}

/** Most numbers that one call makes: 4 GB. */
const MOST = 2 ** 30;

/**
 * Pads and cuts rows.
 * @param rows [length, width] each
 * @throws "option" for lengths that no row can have, and where rows differ and none are padded
 */
export function padRows(
  rows: readonly Float32Array[],
  width: number,
  { side, value }: Padder,
  options: PaddingOptions,
): PaddedRows {
  const { padding = "longest", maxLength, truncation = false, padToMultipleOf: multiple = 1 } = options;
  for (const [name, number] of Object.entries({ maxLength, padToMultipleOf: multiple }))
    if (number !== undefined) expectCount(name, number);
  const most = truncation && maxLength !== undefined ? Math.ceil(maxLength / multiple) * multiple : Infinity;
  const lengths = rows.map((row) => Math.min(row.length / width, most));
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const wanted = padding === "max_length" ? Math.max(longest, maxLength ?? longest) : longest;
  const length = padding === false ? longest : Math.ceil(wanted / multiple) * multiple;
  if (padding === false && lengths.some((one) => one !== longest)) throw unequal(lengths);
  if (rows.length * length * width > MOST) throw tooMuch(rows.length, length);
  const data = new Float32Array(rows.length * length * width).fill(value);
  const mask = new Int32Array(rows.length * length);
  for (const [i, row] of rows.entries()) {
    const own = lengths[i] ?? 0;
    const first = i * length + (side === "left" ? length - own : 0);
    data.set(row.subarray(0, own * width), first * width);
    mask.fill(1, first, first + own);
  }
  return { data, mask, length, lengths };
}

/** (x - mean) / sqrt(variance + 1e-7) over a row's own samples. */
export function normalized(x: Float32Array): Float32Array {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const factor = 1 / Math.sqrt(variance + 1e-7);
  return x.map((value) => (value - mean) * factor);
}

function expectCount(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new PeftError("option", {
    what: words`${option(name)} is ${value}.`,
    why: "it is a number of samples or frames.",
    fix: words`give a whole number above 0, or leave ${option(name)} out.`,
  });
}

function unequal(lengths: readonly number[]): PeftError {
  return new PeftError("option", {
    what: words`${option("padding", false)}, and the sounds have ${[...new Set(lengths)].slice(0, 3).join(", ")} samples.`,
    why: "rows of a batch are as long as each other.",
    fix: words`give ${option("padding", true)}, or one sound at a time.`,
  });
}

function tooMuch(rows: number, length: number): PeftError {
  return new PeftError("option", {
    what: `${rows} sounds of ${length} samples in one call.`,
    why: "they would take more than 4 GB.",
    fix: words`give fewer sounds at a time, or a smaller ${option("maxLength")}.`,
  });
}
