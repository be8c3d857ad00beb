import { at } from "../../present.js";

/** Weights that share one largest value, and blocks that share one of those. */
export const SIZE = 64;
export const GROUP = 256;

/** The 16 values of NF4: quantiles of a normal distribution, and zero. */
export const NF4: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
  -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
  0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/**
 * The 256 values of bytes that hold blocks' largest: seven decades, the higher ones in finer steps (arXiv
 * 2110.02861, section 2.1).
 */
export const DYNAMIC: readonly number[] = dynamicValues();

function dynamicValues(): number[] {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const steps = 2 ** i;
    const decade = Math.fround(10 ** (i - 6));
    for (let k = 0; k < steps; k++) {
      const mean = Math.fround(Math.fround(between(k, steps) + between(k + 1, steps)) / 2);
      values.push(Math.fround(decade * mean), Math.fround(-decade * mean));
    }
  }
  return values.sort((a, b) => a - b);
}

/** 0.1 .. 1 in equal steps, from the nearer end, each rounded once. */
function between(k: number, steps: number): number {
  const start = Math.fround(0.1);
  const step = Math.fround(Math.fround(1 - start) / steps);
  return Math.fround(2 * k <= steps ? start + step * k : 1 - step * (steps - k));
}

export type PackedNf4 = Readonly<{
  data: Uint8Array;
  absmax: Uint8Array;
  nested: Float32Array;
  offset: Float32Array;
}>;

/** W flat, in the order of [out, in]: the same bytes as bitsandbytes on a CPU with one thread. */
export function packNf4(
  values: Float32Array,
): Record<keyof PackedNf4, Uint8Array | Float32Array> & PackedNf4 {
  const largest = new Float32Array(Math.ceil(values.length / SIZE));
  const data = new Uint8Array(Math.ceil(values.length / 2));
  for (let b = 0; b < largest.length; b++) {
    const block = values.subarray(b * SIZE, (b + 1) * SIZE);
    const m = largestOf(block);
    const isWhole = block.length === SIZE;
    const scale = isWhole ? m : Math.max(m, TINY);
    largest[b] = scale;
    const inverse = Math.fround(1 / Math.max(m, TINY));
    for (let k = 0; k < block.length; k++) {
      const value = block[k]!;
      const v = Math.fround(isWhole ? value * inverse : value / scale);
      const at = b * SIZE + k;
      data[at >> 1]! |= codeOf(v) << (at % 2 === 0 ? 4 : 0);
    }
  }
  if (values.length % 2 === 1) data[data.length - 1]! |= codeOf(0);
  return { data, ...packLargest(largest) };
}

const TINY: number = Math.fround(1e-38);

function largestOf(values: Float32Array): number {
  let m = 0;
  for (let k = 0; k < values.length; k++) {
    const v = Math.abs(values[k]!);
    if (v > m) m = v;
  }
  return m;
}

const middles = (codes: readonly number[]): Float32Array =>
  Float32Array.from(codes.slice(1), (code, i) => Math.fround(code + at(codes, i)) / 2);

const NF4_MIDDLES: Float32Array = middles(NF4);

/** The nearest of 16; halfway, the lower. */
function codeOf(v: number): number {
  let i = v > NF4_MIDDLES[7]! ? 8 : 0;
  if (v > NF4_MIDDLES[i + 3]!) i += 4;
  if (v > NF4_MIDDLES[i + 1]!) i += 2;
  return v > NF4_MIDDLES[i]! ? i + 1 : i;
}

/** Blocks' largest in bytes: the same again, less their mean. */
function packLargest(largest: Float32Array): Omit<PackedNf4, "data"> {
  const offset = meanAsTorch(largest);
  const around = largest.map((m) => m - offset);
  const nested = new Float32Array(Math.ceil(largest.length / GROUP));
  const absmax = new Uint8Array(largest.length);
  const nearest = dynamicCodes();
  for (let b = 0; b < nested.length; b++) {
    const group = around.subarray(b * GROUP, (b + 1) * GROUP);
    const m = largestOf(group);
    nested[b] = m;
    if (m === 0) continue;
    const inverse = Math.fround(1 / m);
    for (let k = 0; k < group.length; k++) {
      const v = Math.min(1, Math.max(-1, Math.fround(group[k]! * inverse)));
      const place = Math.fround((Math.fround(v + 1) / 2) * (BINS - 1));
      absmax[b * GROUP + k] = nearest[Math.trunc(Math.fround(place + 0.5))]!;
    }
  }
  return { absmax, nested, offset: Float32Array.of(offset) };
}

/**
 * bitsandbytes looks the nearest of 256 up by the value in 16 bits, so that some go to their neighbour; so do
 * we.
 */
const BINS = 65536;

function dynamicCodes(): Uint8Array {
  const bounds = middles(DYNAMIC);
  const codes = new Uint8Array(BINS);
  let code = 0;
  for (let i = 0; i < BINS; i++) {
    const v = Math.fround(Math.fround((2 * i) / (BINS - 1)) - 1);
    while (code < bounds.length && bounds[code]! < v) code++;
    codes[i] = code;
  }
  return codes;
}

/**
 * The mean in f32 with sums in torch's order: 8 numbers side by side, 4 of those at a time, in a cascade of 4
 * levels.
 * Reference: aten/src/ATen/native/cpu/SumKernel.cpp
 */
function meanAsTorch(x: Float32Array): number {
  const wide = x.length < 8 ? 1 : 8;
  const lanes = 4 * wide;
  const rows = Math.floor(x.length / lanes);
  const sums = cascade(x, rows, lanes);
  let next = rows * lanes;
  for (; next + wide <= x.length; next += wide) addTo(sums, x, next, wide);
  for (let lane = wide; lane < lanes; lane += wide) addTo(sums, sums, lane, wide);
  let total = 0;
  for (const value of x.subarray(next)) total = Math.fround(total + value);
  for (const value of sums.subarray(0, wide)) total = Math.fround(total + value);
  return Math.fround(total / x.length);
}

/** The first `count` totals, each with one of x from `start` on. */
function addTo(totals: Float32Array, x: Float32Array, start: number, count: number): void {
  for (let k = 0; k < count; k++) totals[k]! += x[start + k]!;
}

const LEVELS = 4;

/** Sums of columns of x [rows, lanes]. */
function cascade(x: Float32Array, rows: number, lanes: number): Float32Array {
  const power = Math.max(4, Math.floor(Math.ceil(Math.log2(Math.max(1, rows))) / LEVELS));
  const step = 2 ** power;
  const levels = Array.from({ length: LEVELS }, () => new Float32Array(lanes));
  const sums = at(levels, 0);
  for (let i = 0; i < rows; ) {
    const end = Math.min(rows, i + step);
    for (; i < end; i++) addTo(sums, x, i * lanes, lanes);
    if (end % step !== 0) break;
    for (let level = 1; level < LEVELS; level++) {
      const below = at(levels, level - 1);
      addTo(at(levels, level), below, 0, lanes);
      below.fill(0);
      if (Math.floor(i / step ** level) % step !== 0) break;
    }
  }
  for (const level of levels.slice(1)) addTo(sums, level, 0, lanes);
  return sums;
}
