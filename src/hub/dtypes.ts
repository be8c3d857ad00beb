import { expandToF32, roundToHalves } from "../halves.js";

/** Number formats that checkpoints store and this package reads. */
export type StoredType = "f32" | "f16" | "bf16" | "f64" | "i64" | "i32" | "i16" | "i8" | "u8" | "bool";

/** Bytes per element. */
export const bytesPer: Readonly<Record<StoredType, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  f64: 8,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u8: 1,
  bool: 1,
};

/** How many numbers a shape holds. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Little-endian bytes as f32. An aligned f32 input is not copied: the result shares its memory. */
export function toF32(bytes: Uint8Array, dtype: StoredType): Float32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, bytesPer[dtype]);
  const length = byteLength / bytesPer[dtype];
  switch (dtype) {
    case "f32":
      return new Float32Array(buffer, byteOffset, length);
    case "f16":
    case "bf16":
      return expandToF32(new Uint8Array(buffer, byteOffset, byteLength), dtype);
    case "f64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, length));
    case "i64":
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    case "i32":
      return Float32Array.from(new Int32Array(buffer, byteOffset, length));
    case "i16":
      return Float32Array.from(new Int16Array(buffer, byteOffset, length));
    case "i8":
      return Float32Array.from(new Int8Array(buffer, byteOffset, length));
    default:
      return Float32Array.from(new Uint8Array(buffer, byteOffset, length));
  }
}

/** f32 as little-endian bytes of a float format, rounded to nearest, ties to even, as PyTorch rounds. */
export function fromF32(values: Float32Array, dtype: "f32" | "f16" | "bf16" | "f64"): Uint8Array {
  if (dtype === "f32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (dtype === "f64") return new Uint8Array(Float64Array.from(values).buffer);
  return new Uint8Array(roundToHalves(values, dtype).buffer as ArrayBuffer);
}

function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}
