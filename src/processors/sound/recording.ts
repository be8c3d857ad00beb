import { PeftError } from "../../errors.js";

/** What a file of sound holds. */
export interface Recording {
  /** Samples from -1 to 1, those of one instant side by side. */
  readonly data: Float32Array; // [samples, channels]
  readonly channels: number;
  /** Samples per second and channel. */
  readonly samplingRate: number;
}

/** Sound of one channel, samples from -1 to 1. */
export interface Sound {
  readonly array: Float32Array; // [samples]
  /** Samples per second. */
  readonly samplingRate: number;
}

/**
 * Rates that are read. A file's number alone must not make its sound much longer: from 1 Hz to 16000 it would
 * be 16000 times as long.
 */
export const RATES = { least: 1000, most: 768_000 } as const;

/** Throws "file-format" for a rate that no recording has. */
export function expectRate(rate: number, at: string): void {
  if (Number.isInteger(rate) && rate >= RATES.least && rate <= RATES.most) return;
  throw soundFault(at, `its sampling rate is ${rate}, not ${RATES.least} to ${RATES.most} samples a second`);
}

/**
 * The mean of its channels.
 * @param at where the sound is from, for messages
 * @throws "file-format" where it has no samples, or some that are no numbers
 */
export function mono({ data, channels, samplingRate }: Recording, at: string): Sound {
  expectRate(samplingRate, at);
  const length = Math.floor(data.length / channels);
  if (length === 0) throw soundFault(at, "it has 0 samples");
  const array = channels === 1 ? data : new Float32Array(length);
  let total = 0;
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += data[i * channels + c] ?? 0;
    if (channels > 1) array[i] = sum / channels;
    total += sum;
  }
  if (!Number.isFinite(total)) throw soundFault(at, "some of its samples are NaN or infinite");
  return { array, samplingRate };
}

/** An error about a file's content. */
export function soundFault(at: string, why: string, cause?: unknown): PeftError {
  return new PeftError("file-format", {
    what: `The sound ${at} cannot be read.`,
    why: `${why}.`,
    fix: "replace the file or leave its row out; for rows of a data set, skipBad: true (--skip-bad) does that.",
    ...(cause === undefined ? {} : { cause }),
  });
}
