import type { Fourier } from "./fourier.js";
import type { MelFilter } from "./mel.js";

/** How sound becomes energies of mel filters, frame by frame. */
export interface Energies {
  readonly fourier: Fourier;
  readonly filters: readonly MelFilter[];
  /** Puts a frame's samples, windowed, where the transform reads them; what it leaves is 0. */
  fill(into: Float64Array, frame: number): void;
}

/**
 * The energy that each filter lets through: sum over bins of weight |X|^2. Two frames share a transform: of
 * x + i y, X[k] = (Z[k] + conj Z[n - k]) / 2.
 * @param write is given a frame's energies [filters], valid until it returns
 */
export function energies(
  { fourier, filters, fill }: Energies,
  frames: number,
  write: (frame: number, energies: Float64Array) => void,
): void {
  const { length } = fourier;
  const [re, im] = [new Float64Array(length), new Float64Array(length)];
  const bins = Math.floor(length / 2) + 1;
  const power = [new Float64Array(bins), new Float64Array(bins)] as const;
  const out = new Float64Array(filters.length);
  for (let frame = 0; frame < frames; frame += 2) {
    re.fill(0);
    im.fill(0);
    fill(re, frame);
    if (frame + 1 < frames) fill(im, frame + 1);
    fourier.transform(re, im);
    splitPower(re, im, power);
    for (const [i, spectrum] of power.entries()) {
      if (frame + i >= frames) break;
      through(filters, spectrum, out);
      write(frame + i, out);
    }
  }
}

function splitPower(
  re: Float64Array,
  im: Float64Array,
  [first, second]: readonly [Float64Array, Float64Array],
): void {
  const n = re.length;
  for (let k = 0; k < first.length; k++) {
    const other = k === 0 ? 0 : n - k;
    const [a, b, c, d] = [re[k]!, im[k]!, re[other]!, im[other]!];
    first[k] = ((a + c) ** 2 + (b - d) ** 2) / 4;
    second[k] = ((b + d) ** 2 + (c - a) ** 2) / 4;
  }
}

function through(filters: readonly MelFilter[], spectrum: Float64Array, out: Float64Array): void {
  for (let f = 0; f < filters.length; f++) {
    const { first, weights } = filters[f]!;
    let sum = 0;
    for (let k = 0; k < weights.length; k++) sum += weights[k]! * spectrum[first + k]!;
    out[f] = sum;
  }
}
