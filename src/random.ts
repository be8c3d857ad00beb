/** Uniform 32-bit integers, the same on every machine for the same seed and stream. */
export type Random = () => number;

/** Spreads the bits of one 32-bit number (the finalizer of MurmurHash3). */
export function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * A generator of its own for every (seed, stream), so that an epoch's order is known without the epochs
 * before it. sfc32.
 */
export function random(seed: number, stream = 0): Random {
  let a = mix(seed);
  let b = mix(Math.floor(seed / 2 ** 32) ^ 0x9e3779b9);
  let c = mix(stream + 0x51ed270b);
  let counter = 1;
  const next = (): number => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    return t >>> 0;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

/** Uniform in [0, 1), 53 bits. */
export function uniform(next: Random): number {
  return ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) * 2 ** -53;
}

/** Standard normal (Box and Muller). */
export function normal(next: Random): number {
  return Math.sqrt(-2 * Math.log(1 - uniform(next))) * Math.cos(2 * Math.PI * uniform(next));
}

/** A uniform integer in [0, n), without the bias of a remainder. */
export function below(next: Random, n: number): number {
  const limit = 2 ** 32 - (2 ** 32 % n);
  let x = next();
  while (x >= limit) x = next();
  return x % n;
}

/** A copy of `items` in random order (Fisher-Yates). */
export function shuffled<Item>(items: readonly Item[], next: Random): Item[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = below(next, i + 1);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}
