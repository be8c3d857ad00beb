import { at } from "../present.js";

/**
 * numpy's default_rng, for what Python makes of a seed and does not save. Reference: numpy/random (PCG64 of
 * O'Neill, seeded by SeedSequence; bounded integers by Lemire's method)
 */
export class NumpyRandom {
  #state = 0n;
  readonly #step: bigint;
  /** The upper half of the last 64 bits, where it was not used yet. */
  #rest: number | undefined;

  constructor(seed: number) {
    const [high, low, stepHigh, stepLow] = seedWords(seed);
    this.#step = u128((((stepHigh << 64n) | stepLow) << 1n) | 1n);
    this.#advance();
    this.#state = u128(this.#state + ((high << 64n) | low));
    this.#advance();
  }

  #advance(): void {
    this.#state = u128(this.#state * MULTIPLIER + this.#step);
  }

  /** 32 bits. */
  bits(): number {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) return rest;
    this.#advance();
    const turn = this.#state >> 122n;
    const folded = BigInt.asUintN(64, (this.#state >> 64n) ^ this.#state);
    const bits = BigInt.asUintN(64, (folded >> turn) | (folded << (64n - turn)));
    this.#rest = Number(bits >> 32n);
    return Number(bits & 0xffffffffn);
  }

  /** A whole number from 0 to `most`, at most 2^32 - 2. */
  upTo(most: number): number {
    if (most === 0) return 0;
    const count = most + 1;
    for (;;) {
      const product = BigInt(this.bits()) * BigInt(count);
      if (Number(product & 0xffffffffn) >= 2 ** 32 % count) return Number(product >> 32n);
    }
  }

  /** The same by masks, as `shuffle` draws. */
  #maskedUpTo(most: number): number {
    const mask = 0xffffffff >>> Math.clz32(most);
    for (;;) {
      const drawn = (this.bits() & mask) >>> 0;
      if (drawn <= most) return drawn;
    }
  }

  /** In place (Fisher and Yates). */
  shuffle(items: Float64Array): void {
    swap(items, 1, (i) => this.#maskedUpTo(i));
  }

  /** `count` different numbers of 0 .. n - 1, as `choice(n, count, replace=False)`. */
  choice(n: number, count: number): Float64Array {
    if (n > 10_000 && count > Math.floor(n / 50)) {
      const all = Float64Array.from({ length: n }, (_, i) => i);
      swap(all, Math.max(n - count, 1), (i) => this.upTo(i));
      return all.slice(n - count);
    }
    const chosen = new Set<number>(); // Floyd's: a number that is there already becomes the largest so far
    for (let largest = n - count; largest < n; largest++) {
      const drawn = this.upTo(largest);
      chosen.add(chosen.has(drawn) ? largest : drawn);
    }
    const out = Float64Array.from(chosen);
    swap(out, 1, (i) => this.upTo(i));
    return out;
  }
}

/** Each item from the last one to `first` with one that is not behind it. */
function swap(items: Float64Array, first: number, upTo: (most: number) => number): void {
  for (let i = items.length - 1; i >= first; i--) {
    const other = upTo(i);
    [items[i], items[other]] = [at(items, other), at(items, i)];
  }
}

const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

const u128 = (x: bigint): bigint => BigInt.asUintN(128, x);

/** Four words of 64 bits from a seed of 32 bits. Reference: numpy/random/bit_generator.pyx, SeedSequence */
function seedWords(seed: number): readonly [bigint, bigint, bigint, bigint] {
  const hasher = (start: number, factor: number): ((x: number) => number) => {
    let constant = start;
    return (x) => {
      const mixed = x ^ constant;
      constant = Math.imul(constant, factor);
      const product = Math.imul(mixed, constant);
      return product ^ (product >>> 16);
    };
  };
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = [seed, 0, 0, 0].map(hash);
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) {
      if (from === to) continue;
      const mixed = Math.imul(0xca01f9dd, at(pool, to)) - Math.imul(0x4973f715, hash(at(pool, from)));
      pool[to] = mixed ^ (mixed >>> 16);
    }
  const out = hasher(0x8b51f9dd, 0x58f38ded);
  const words = Array.from({ length: 8 }, (_, i) => BigInt(out(at(pool, i % 4)) >>> 0));
  const word = (i: number): bigint => at(words, 2 * i) | (at(words, 2 * i + 1) << 32n);
  return [word(0), word(1), word(2), word(3)];
}
