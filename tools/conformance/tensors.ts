import { toF32 } from "../../src/hub/dtypes.js";
import { nodeFiles } from "../../src/hub/files.js";
import { openSafetensors } from "../../src/hub/safetensors.js";

/** A tensor of a kit, as numbers. */
export interface KitTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  readonly isInteger: boolean;
}

export async function readTensors(path: string): Promise<Map<string, KitTensor>> {
  const { tensors } = await openSafetensors(path);
  const out = new Map<string, KitTensor>();
  for (const [name, { shape, offset, bytes, dtype }] of tensors) {
    const raw = await nodeFiles.read(path, offset, bytes);
    const integer = dtype === "i64";
    const data = integer
      ? Float64Array.from(new BigInt64Array(raw.slice().buffer), Number)
      : Float64Array.from(toF32(raw, dtype));
    out.set(name, { shape, data, isInteger: integer });
  }
  return out;
}

export interface Numbers {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** One check of a case: its worst error as a share of what is allowed. Above 1 it fails. */
export interface Check {
  readonly key: string;
  readonly share: number;
  readonly note?: string;
}

/** Absolute or relative error, whichever allows more, as a share of `within`. */
export function compare(
  key: string,
  got: Numbers,
  expected: KitTensor,
  within: number,
  counts?: (i: number) => boolean,
): Check {
  if (`${got.shape}` !== `${expected.shape}`)
    return { key, share: Number.POSITIVE_INFINITY, note: `shape [${got.shape}], not [${expected.shape}]` };
  let worst = 0;
  for (let i = 0; i < expected.data.length; i++) {
    if (counts !== undefined && !counts(i)) continue;
    const error =
      Math.abs(got.data[i]! - expected.data[i]!) / (within * Math.max(1, Math.abs(expected.data[i]!)));
    if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return { key, share: worst };
}

/** Error as a share of `within` times the tensor's largest value. */
export function compareToLargest(
  key: string,
  got: Numbers,
  expected: KitTensor,
  within: number,
  floor: number,
): Check {
  const largest = expected.data.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  const allowed = Math.max(within * largest, floor);
  if (`${got.shape}` !== `${expected.shape}`)
    return { key, share: Number.POSITIVE_INFINITY, note: `shape [${got.shape}], not [${expected.shape}]` };
  let worst = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const error = Math.abs(got.data[i]! - expected.data[i]!) / allowed;
    if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return { key, share: worst };
}

export function exact(key: string, equal: boolean, note?: string): Check {
  return {
    key,
    share: equal ? 0 : Number.POSITIVE_INFINITY,
    ...(note === undefined || equal ? {} : { note }),
  };
}
