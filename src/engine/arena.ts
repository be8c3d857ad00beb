/** Sizes and growth of ONNX Runtime's arena, as its own defaults are. Reference: onnxruntime/core/framework/bfc_arena.cc */
const GRAIN = 256;
const FIRST_REGION = 1 << 20;
const LARGEST_STEP = 1 << 30;
const MOST_UNUSED = 1 << 27;

interface Chunk {
  readonly region: Region;
  readonly start: number;
  size: number;
  free: boolean;
  before: Chunk | undefined;
  after: Chunk | undefined;
}

interface Region {
  /** End of what was ever written. */
  touched: number;
}

/**
 * The arena of a session, allocation by allocation: best fit, split where half would be left, merged when given back, grown by regions
 * that double. It never shrinks, and only what was written takes memory.
 */
export class Arena {
  readonly #regions: Region[] = [];
  /** By size. */
  readonly #free: Chunk[] = [];
  #next = FIRST_REGION;

  /** Bytes of all regions that were written to. */
  get touched(): number {
    return this.#regions.reduce((n, r) => n + r.touched, 0);
  }

  take(bytes: number): Chunk {
    const size = Math.max(GRAIN, Math.ceil(bytes / GRAIN) * GRAIN);
    let at = this.#place(size);
    if (at === this.#free.length) {
      this.#grow(size);
      at = this.#place(size);
    }
    const chunk = this.#free.splice(at, 1)[0]!;
    chunk.free = false;
    if (chunk.size >= 2 * size || chunk.size - size >= MOST_UNUSED) this.#split(chunk, size);
    chunk.region.touched = Math.max(chunk.region.touched, chunk.start + bytes);
    return chunk;
  }

  give(chunk: Chunk): void {
    let whole = chunk;
    whole.free = true;
    const { before, after } = chunk;
    if (after?.free) {
      this.#remove(after);
      merge(whole, after);
    }
    if (before?.free) {
      this.#remove(before);
      merge(before, whole);
      whole = before;
    }
    this.#insert(whole);
  }

  #grow(size: number): void {
    const next = this.#next;
    while (this.#next < size) this.#next *= 2;
    const region = { touched: 0 };
    this.#regions.push(region);
    const chunk = { region, start: 0, size: this.#next, free: true, before: undefined, after: undefined };
    if (this.#next === next) this.#next = Math.min(2 * next, Math.max(next, LARGEST_STEP));
    this.#insert(chunk);
  }

  #split(chunk: Chunk, size: number): void {
    const { region, start, after } = chunk;
    const rest = { region, start: start + size, size: chunk.size - size, free: true, before: chunk, after };
    if (after !== undefined) after.before = rest;
    chunk.after = rest;
    chunk.size = size;
    this.#insert(rest);
  }

  /** Index of the first free chunk that is at least as large. */
  #place(size: number): number {
    let [low, high] = [0, this.#free.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle]!.size < size) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(chunk: Chunk): void {
    this.#free.splice(this.#place(chunk.size), 0, chunk);
  }

  #remove(chunk: Chunk): void {
    let at = this.#place(chunk.size);
    while (this.#free[at] !== chunk) at++;
    this.#free.splice(at, 1);
  }
}

export type { Chunk };

function merge(chunk: Chunk, next: Chunk): void {
  chunk.size += next.size;
  chunk.after = next.after;
  if (next.after !== undefined) next.after.before = chunk;
}
