import { at } from "../present.js";

/**
 * torch's own random numbers on a CPU, for what Python makes of a seed and does not save.
 * Reference: aten/src/ATen/core/MT19937RNGEngine.h (the Mersenne twister of Matsumoto and Nishimura, 1998)
 */
export class TorchRandom {
  readonly #state: Uint32Array = new Uint32Array(SIZE);
  #next = SIZE;

  constructor(seed: number) {
    const s = this.#state;
    s[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const last = at(s, i - 1);
      s[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
  }

  /** 32 bits. */
  bits(): number {
    if (this.#next === SIZE) this.#turn();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** In [from, to), as `uniform_` in f32. */
  uniform(data: Float32Array, from: number, to: number): void {
    const [low, width] = [Math.fround(from), Math.fround(Math.fround(to) - Math.fround(from))];
    for (let i = 0; i < data.length; i++)
      data[i] = Math.fround(Math.fround((this.bits() & 0xffffff) / 2 ** 24) * width) + low;
  }

  /** In [0, 1), 53 bits. */
  #double(): number {
    const high = this.bits() & 0x1fffff;
    return (high * 2 ** 32 + this.bits()) / 2 ** 53;
  }

  /**
   * Normal numbers, as `normal_` in f32: pairs by Box and Muller, which lie 8 places apart in blocks of 16;
   * the last 16 are drawn anew where the length is no multiple. Fewer than 16 come one by one, in f64.
   */
  normal(data: Float32Array, std: number): void {
    if (data.length < 16) {
      for (let i = 0; i < data.length; i += 2) {
        const angle = 2 * Math.PI * this.#double();
        const radius = std * Math.sqrt(-2 * Math.log1p(-this.#double()));
        data[i] = radius * Math.cos(angle);
        if (i + 1 < data.length) data[i + 1] = radius * Math.sin(angle);
      }
      return;
    }
    this.uniform(data, 0, 1);
    const turn = (from: number): void => {
      for (let i = from; i < from + 8; i++) {
        const radius = std * Math.sqrt(-2 * Math.log(1 - at(data, i)));
        const angle = 2 * Math.PI * at(data, i + 8);
        data[i] = radius * Math.cos(angle);
        data[i + 8] = radius * Math.sin(angle);
      }
    };
    for (let from = 0; from + 16 <= data.length; from += 16) turn(from);
    if (data.length % 16 === 0) return;
    this.uniform(data.subarray(data.length - 16), 0, 1);
    turn(data.length - 16);
  }

  /** The first `count` numbers of a shuffle of 0 .. n - 1, as `randperm`. */
  permutation(n: number, count: number): Float64Array {
    const all = Float64Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < Math.min(count, n - 1); i++) {
      const other = i + (this.bits() % (n - i));
      [all[i], all[other]] = [at(all, other), at(all, i)];
    }
    return all.slice(0, count);
  }

  #turn(): void {
    const s = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const y = (s[i]! & 0x80000000) | (s[(i + 1) % SIZE]! & 0x7fffffff);
      s[i] = s[(i + SHIFT) % SIZE]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

/** Places in a matrix that is `width` wide, row by row, as its rows and then its columns. */
export function writePlaces(into: Float32Array, places: Float64Array, width: number): void {
  for (const [i, place] of places.entries()) {
    into[i] = Math.floor(place / width);
    into[places.length + i] = place % width;
  }
}

const SIZE = 624;
const SHIFT = 397;
