/** A scale of pitch, from Hz. */
export interface MelScale {
  toMel(hertz: number): number;
  toHertz(mel: number): number;
}

const log64 = Math.log(6.4) / 27;

/** Slaney's: linear below 1000 Hz (15 mel), logarithmic above. */
export const slaney: MelScale = {
  toMel: (f) => (f < 1000 ? (3 * f) / 200 : 15 + Math.log(f / 1000) / log64),
  toHertz: (m) => (m < 15 ? (200 * m) / 3 : 1000 * Math.exp((m - 15) * log64)),
};

/** Kaldi's. */
export const kaldi: MelScale = {
  toMel: (f) => 1127 * Math.log(1 + f / 700),
  toHertz: (m) => 700 * (Math.exp(m / 1127) - 1),
};

/** A triangle over neighbouring frequencies: weights of the bins from `first` on. */
export interface MelFilter {
  readonly first: number;
  readonly weights: Float64Array;
}

/** Which filters a spectrum goes through. */
export interface MelOptions {
  /** Frequencies of the spectrum: 1 + half of the transform's length. */
  readonly bins: number;
  readonly filters: number;
  readonly samplingRate: number;
  readonly lowest: number;
  readonly highest: number;
}

/**
 * Whisper's: triangles in Hz between points that are equally far in mel, each of area 1 (Slaney's norm).
 * Reference: transformers/audio_utils.py, mel_filter_bank
 */
export function slaneyFilters({ bins, filters, samplingRate, lowest, highest }: MelOptions): MelFilter[] {
  const points = spread(slaney.toMel(lowest), slaney.toMel(highest), filters + 2).map(slaney.toHertz);
  const hertz = spread(0, Math.floor(samplingRate / 2), bins);
  return triangles(hertz, points, (left, right) => 2 / (right - left));
}

/** Kaldi's: triangles in mel, of height 1; the highest frequency counts in none. */
export function kaldiFilters({ bins, filters, samplingRate, lowest, highest }: MelOptions): MelFilter[] {
  const width = samplingRate / ((bins - 1) * 2);
  const mels = Array.from({ length: bins - 1 }, (_, i) => kaldi.toMel(width * i));
  return triangles(mels, spread(kaldi.toMel(lowest), kaldi.toMel(highest), filters + 2), () => 1);
}

function triangles(
  at: readonly number[],
  points: readonly number[],
  scale: (left: number, right: number) => number,
): MelFilter[] {
  return points.slice(2).map((right, i) => {
    const [left = 0, middle = 0] = points.slice(i, i + 2);
    const all = at.map((x) =>
      Math.max(0, Math.min((x - left) / (middle - left), (right - x) / (right - middle))),
    );
    const first = Math.max(
      0,
      all.findIndex((x) => x > 0),
    );
    const last = all.findLastIndex((x) => x > 0);
    const factor = scale(left, right);
    return { first, weights: Float64Array.from(all.slice(first, last + 1), (x) => x * factor) };
  });
}

/** Equally far numbers, both ends among them. */
function spread(from: number, to: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
}
