/** How a resampler's kernel is cut off. */
export interface ResampleFilter {
  /** Zero crossings of the kernel on each side. */
  readonly width: number;
  /** Share of the frequencies below half of the lower rate that pass. */
  readonly rolloff: number;
  /** Weight of the kernel at t, from -1 to 1 where it ends. */
  window(t: number): number;
}

/** torchaudio's default. */
export const SINC_HANN: ResampleFilter = {
  width: 6,
  rolloff: 0.99,
  window: (t) => Math.cos((t * Math.PI) / 2) ** 2,
};

/** A sharp one, as soxr's and librosa's best: what folds over lies below -90 dB. */
export const KAISER: ResampleFilter = {
  width: 64,
  rolloff: 0.9475937167399596,
  window: (t) => bessel(14.769656459379492 * Math.sqrt(Math.max(0, 1 - t * t))) / bessel(14.769656459379492),
};

/** Weights for one phase of the output, and where on the input they begin. */
interface Kernel {
  readonly first: number;
  readonly weights: Float64Array;
}

/** Weights that are kept for later phases: 32 MB. */
const MOST_KEPT = 2 ** 22;

/**
 * Sound at another rate. With both rates divided by their common divisor to a and b, and
 * base = min(a, b) rolloff, out[n] = sum over i of x[i] k((i / a - n / b) base),
 * k(t) = sinc(t) window(t / width) base / a for |t| < width. ceil(samples b / a) samples come out.
 * Reference: torchaudio/functional/functional.py, _get_sinc_resample_kernel
 * @param x [samples]
 */
export function resample(
  x: Float32Array,
  from: number,
  to: number,
  filter: ResampleFilter = KAISER,
): Float32Array {
  if (from === to) return x;
  const divisor = commonDivisor(from, to);
  const [a, b] = [from / divisor, to / divisor];
  const base = Math.min(a, b) * filter.rolloff;
  const reach = Math.ceil((filter.width * a) / base);
  const isKept = b * (2 * reach + 1) <= MOST_KEPT;
  const kept: Kernel[] = [];
  const out = new Float32Array(Math.ceil((x.length * b) / a));
  for (let n = 0; n < out.length; n++) {
    const phase = n % b;
    const kernel = kept[phase] ?? kernelOf(phase, a, b, base, reach, filter);
    if (isKept) kept[phase] = kernel;
    const { first, weights } = kernel;
    const start = Math.floor(n / b) * a + first;
    const [low, high] = [Math.max(0, -start), Math.min(weights.length, x.length - start)];
    let sum = 0;
    for (let k = low; k < high; k++) sum += (x[start + k] ?? 0) * (weights[k] ?? 0);
    out[n] = sum;
  }
  return out;
}

function kernelOf(
  phase: number,
  a: number,
  b: number,
  base: number,
  reach: number,
  { width, window }: ResampleFilter,
): Kernel {
  const middle = (phase * a) / b;
  const first = Math.floor(middle) - reach;
  const weights = new Float64Array(2 * reach + 2);
  for (let k = 0; k < weights.length; k++) {
    const t = ((first + k) / a - phase / b) * base;
    if (Math.abs(t) < width) weights[k] = (sinc(t) * window(t / width) * base) / a;
  }
  return { first, weights };
}

function sinc(t: number): number {
  return t === 0 ? 1 : Math.sin(Math.PI * t) / (Math.PI * t);
}

/** The modified Bessel function of order 0, by its series. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-16 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
