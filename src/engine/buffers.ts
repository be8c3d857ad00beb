/** Bytes: smaller results are left to the runtime and the garbage collector. */
export const LARGE: number = 1 << 16;

/** Buffers that serve again, by their size: what a step frees, the next one fills. Left to the garbage collector they pile up. */
export class Buffers {
  readonly #spare: Map<number, ArrayBuffer[]> = new Map();

  take(bytes: number): ArrayBuffer {
    return this.#spare.get(bytes)?.pop() ?? new ArrayBuffer(bytes);
  }

  give(buffer: ArrayBuffer): void {
    const spare = this.#spare.get(buffer.byteLength);
    if (spare === undefined) this.#spare.set(buffer.byteLength, [buffer]);
    else spare.push(buffer);
  }

  clear(): void {
    this.#spare.clear();
  }
}
