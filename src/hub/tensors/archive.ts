import type { StoredType } from "./dtypes.js";

/**
 * A tensor in a file. `bytes` bytes, row-major, little-endian, at the absolute `offset` of `path`, so
 * it can be mapped;
 * where it does not lie like that on the disk, `data` holds it and `offset` says nothing.
 */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: StoredType;
  readonly shape: number[];
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
  readonly data?: Uint8Array;
}

/** The tensors of one file. */
export interface Archive {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Record<string, string>;
}
