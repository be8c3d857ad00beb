import type { RawImage } from "./raw_image.js";

// Pillow's resampling, to the bit: two passes, each rounded to whole levels between 0 and 255, of which one
// is left out where the size stays. Weights are whole numbers, 2^22 each row of them. Reference:
// libImaging/Resample.c of Pillow 13, whose first pass is over columns where the height shrinks much more.

/** A filter as preprocessor_config.json numbers it: nearest, lanczos, bilinear, bicubic, box, hamming. */
export type Resample = 0 | 1 | 2 | 3 | 4 | 5;

/** Height and width in pixels. */
export interface Size {
  readonly height: number;
  readonly width: number;
}

/** A part of a picture, in pixels. */
export interface Region extends Size {
  readonly left: number;
  readonly top: number;
}

const BITS = 22;

interface Filter {
  /** How far it reaches, in pixels of the smaller of the two pictures. */
  readonly reach: number;
  weight(t: number): number;
}

const sinc = (t: number): number => (t === 0 ? 1 : Math.sin(t * Math.PI) / (t * Math.PI));

/** By their numbers; 0 has no weights. */
const filters: Readonly<Record<Exclude<Resample, 0>, Filter>> = {
  1: { reach: 3, weight: (t) => (t >= -3 && t < 3 ? sinc(t) * sinc(t / 3) : 0) },
  2: { reach: 1, weight: (t) => Math.max(0, 1 - Math.abs(t)) },
  3: { reach: 2, weight: (t) => cubic(Math.abs(t), -0.5) },
  4: { reach: 0.5, weight: (t) => (t > -0.5 && t <= 0.5 ? 1 : 0) },
  5: { reach: 1, weight: (t) => (Math.abs(t) < 1 ? sinc(t) * (0.54 + 0.46 * Math.cos(Math.PI * t)) : 0) },
};

function cubic(t: number, a: number): number {
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
}

/**
 * A picture in another size.
 * @param region the part of the result that is wanted, which alone is computed @default all of it
 */
export function resize(
  image: RawImage,
  { height, width }: Size,
  resample: Resample,
  region: Region = { left: 0, top: 0, height, width },
): RawImage {
  const columns = axisOf(image.width, width, resample, region.left, region.width);
  const rows = axisOf(image.height, height, resample, region.top, region.height);
  const shrunk = image.height - height;
  if (shrunk > 0 && shrunk > 2 * (image.width - width)) return alongRows(alongColumns(image, rows), columns);
  const { top, lines } = neededRows(image, rows);
  return alongColumns(alongRows(lines, columns), { ...rows, first: rows.first.map((row) => row - top) });
}

/** The rows of a picture that an axis reads. */
function neededRows(image: RawImage, { first, count }: Axis): { top: number; lines: RawImage } {
  const { data, width, height, channels } = image;
  const top = first.reduce((a, b) => Math.min(a, b), height);
  const bottom = first.reduce((a, b, i) => Math.max(a, b + (count[i] ?? 0)), 0);
  const row = width * channels;
  return { top, lines: { ...image, data: data.subarray(top * row, bottom * row), height: bottom - top } };
}

/** One axis of a picture: for each place of the result, which places it is made of, and their weights. */
interface Axis {
  /** Places of the result. */
  readonly length: number;
  /** First place of the source. */
  readonly first: Int32Array; // [length]
  /** How many, from there on. */
  readonly count: Int32Array; // [length]
  /** Weights of a place begin at `place * most`. */
  readonly weights: Int32Array; // [length, most]
  readonly most: number;
  /** Whether each place is one of the source as it stands. */
  readonly isCopy: boolean;
}

function axisOf(from: number, to: number, resample: Resample, start: number, length: number): Axis {
  const [first, count] = [new Int32Array(length), new Int32Array(length).fill(1)];
  const scale = from / to;
  if (resample === 0 || from === to) {
    for (let i = 0; i < length; i++)
      first[i] = from === to ? start + i : Math.trunc((start + i + 0.5) * scale);
    return { length, first, count, weights: new Int32Array(0), most: 1, isCopy: true };
  }
  const { reach, weight } = filters[resample];
  const wide = Math.max(scale, 1);
  const most = Math.ceil(reach * wide) * 2 + 1;
  const weights = new Int32Array(length * most);
  for (let i = 0; i < length; i++) {
    const center = (start + i + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(center - reach * wide + 0.5));
    const end = Math.min(from, Math.trunc(center + reach * wide + 0.5));
    const raw: number[] = [];
    for (let j = begin; j < end; j++) raw.push(weight((j - center + 0.5) * (1 / wide)));
    const sum = raw.reduce((a, b) => a + b, 0);
    first[i] = begin;
    count[i] = end - begin;
    for (const [j, w] of raw.entries())
      weights[i * most + j] = roundAway((sum === 0 ? w : w / sum) * (1 << BITS));
  }
  return { length, first, count, weights, most, isCopy: false };
}

/** Half away from zero. */
function roundAway(x: number): number {
  return Math.trunc(x < 0 ? x - 0.5 : x + 0.5);
}

/** Each row in another width. */
function alongRows({ data, width, height, channels }: RawImage, axis: Axis): RawImage {
  const out = new Uint8Array(height * axis.length * channels);
  for (let y = 0; y < height; y++) {
    const line = data.subarray(y * width * channels, (y + 1) * width * channels);
    const to = out.subarray(y * axis.length * channels, (y + 1) * axis.length * channels);
    if (axis.isCopy) copyPixels(line, to, axis, channels);
    else if (channels === 3) weighPixels(line, to, axis);
    else for (let c = 0; c < channels; c++) weighChannel(line, to, axis, channels, c);
  }
  return { data: out, width: axis.length, height, channels };
}

function copyPixels(line: Uint8Array, to: Uint8Array, { length, first }: Axis, channels: number): void {
  for (let x = 0, at = 0; x < length; x++)
    for (let c = 0, from = first[x]! * channels; c < channels; c++) to[at++] = line[from++]!;
}

/** Three channels at once: a weight is read once for all of them. */
function weighPixels(line: Uint8Array, to: Uint8Array, axis: Axis): void {
  const { length, first, count, weights, most } = axis;
  for (let x = 0, at = 0; x < length; x++) {
    const half = 1 << (BITS - 1);
    let [r, g, b] = [half, half, half];
    const end = x * most + count[x]!;
    for (let k = x * most, from = first[x]! * 3; k < end; k++, from += 3) {
      const w = weights[k]!;
      r = (r + Math.imul(line[from]!, w)) | 0;
      g = (g + Math.imul(line[from + 1]!, w)) | 0;
      b = (b + Math.imul(line[from + 2]!, w)) | 0;
    }
    to[at++] = level(r);
    to[at++] = level(g);
    to[at++] = level(b);
  }
}

function weighChannel(line: Uint8Array, to: Uint8Array, axis: Axis, channels: number, c: number): void {
  const { length, first, count, weights, most } = axis;
  for (let x = 0; x < length; x++) {
    let sum = 1 << (BITS - 1);
    for (let k = 0, n = count[x]!; k < n; k++)
      sum = (sum + Math.imul(line[(first[x]! + k) * channels + c]!, weights[x * most + k]!)) | 0;
    to[x * channels + c] = level(sum);
  }
}

/** Each column in another height: a row of the result is a sum of rows. */
function alongColumns({ data, width, channels }: RawImage, axis: Axis): RawImage {
  const { length, first, count, weights, most, isCopy } = axis;
  const row = width * channels;
  const out = new Uint8Array(length * row);
  const sums = new Int32Array(row);
  for (let y = 0; y < length; y++) {
    const begin = first[y]! * row;
    if (isCopy) {
      out.set(data.subarray(begin, begin + row), y * row);
      continue;
    }
    sums.fill(1 << (BITS - 1));
    for (let k = 0, n = count[y]!; k < n; k++) {
      const w = weights[y * most + k]!;
      for (let i = 0, from = begin + k * row; i < row; i++)
        sums[i] = (sums[i]! + Math.imul(data[from + i]!, w)) | 0;
    }
    for (let i = 0, to = y * row; i < row; i++) out[to + i] = level(sums[i]!);
  }
  return { data: out, width, height: length, channels };
}

/** A sum of weighted levels as a level. */
function level(sum: number): number {
  const x = sum >> BITS;
  return x < 0 ? 0 : Math.min(x, 255);
}
