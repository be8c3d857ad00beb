/** Bytes: smaller results are left to the runtime and the garbage collector. */
export const LARGE: number = 1 << 16;

/** Memory of some size: an ArrayBuffer, or the number of its bytes alone where a plan is estimated. */
export interface Sized {
  readonly byteLength: number;
}

/**
 * Buffers that serve again: what a step frees, the next one fills. A request is served from any buffer that
 * is large enough, the smallest of these; where there is none, a new one is made and spare ones that are too
 * small are evicted, so that all together take no more than the most that was ever in use at once. Requests
 * whose sizes change thus end with the buffers of the largest.
 */
export class Buffers<B extends Sized = ArrayBuffer> {
  readonly #make: (bytes: number) => B;
  /** By size. */
  readonly #spare: B[] = [];
  #live = 0;
  #most = 0;

  constructor(make: (bytes: number) => B) {
    this.#make = make;
  }

  /** Bytes of all buffers, in use or spare. */
  get total(): number {
    return this.#live + this.#spare.reduce((n, { byteLength }) => n + byteLength, 0);
  }

  take(bytes: number): B {
    const at = this.#spare.findIndex(({ byteLength }) => byteLength >= bytes);
    const buffer = at < 0 ? undefined : this.#spare.splice(at, 1)[0];
    this.#live += buffer?.byteLength ?? bytes;
    this.#most = Math.max(this.#most, this.#live);
    if (buffer !== undefined) return buffer;
    while (this.total > this.#most) this.#spare.pop();
    return this.#make(bytes);
  }

  give(buffer: B): void {
    this.forget(buffer);
    const at = this.#spare.findIndex(({ byteLength }) => byteLength >= buffer.byteLength);
    this.#spare.splice(at < 0 ? this.#spare.length : at, 0, buffer);
  }

  /** A buffer that was taken does not come back. */
  forget({ byteLength }: B): void {
    this.#live -= byteLength;
  }

  /** Lets go of the spare ones. */
  clear(): void {
    this.#spare.length = 0;
    this.#most = this.#live;
  }
}
