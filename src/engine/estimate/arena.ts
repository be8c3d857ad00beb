import { at } from "../../present.js";

/**
 * Sizes of ONNX Runtime's arena, as its own defaults are. Reference: onnxruntime/core/framework/bfc_arena.cc
 */
const GRAIN = 256;
const MOST_UNUSED = 1 << 27;

interface Chunk {
  readonly start: number;
  size: number;
  free: boolean;
  before: Chunk | undefined;
  after: Chunk | undefined;
}

/**
 * The arena of a session, allocation by allocation: best fit, split where half would be left, merged when
 * given back. It has one region that is large enough for all (see region.ts), never shrinks, and only what
 * was written takes memory.
 */
export class Arena {
  /** By size. */
  readonly #free: Chunk[] = [
    { start: 0, size: Number.MAX_SAFE_INTEGER, free: true, before: undefined, after: undefined },
  ];
  /** End of what was ever written, in bytes. */
  touched = 0;

  take(bytes: number): Chunk {
    const size = Math.max(GRAIN, Math.ceil(bytes / GRAIN) * GRAIN);
    const chunk = at(this.#free.splice(this.#place(size), 1), 0);
    chunk.free = false;
    if (chunk.size >= 2 * size || chunk.size - size >= MOST_UNUSED) this.#split(chunk, size);
    this.touched = Math.max(this.touched, chunk.start + bytes);
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

  #split(chunk: Chunk, size: number): void {
    const { start, after } = chunk;
    const rest = { start: start + size, size: chunk.size - size, free: true, before: chunk, after };
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
      if (at(this.#free, middle).size < size) low = middle + 1;
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
