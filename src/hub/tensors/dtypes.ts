import { PeftError } from "../../errors.js";
import { expandToF32, roundToHalves } from "../../halves.js";
import { expandFloat8 } from "./float8.js";

/**
 * Number formats of tensors in files, by the names that safetensors has for them. The order is its own: the
 * widest first.
 */
export const storedTypes = {
  u64: "U64",
  i64: "I64",
  f64: "F64",
  c64: "C64",
  f32: "F32",
  u32: "U32",
  i32: "I32",
  bf16: "BF16",
  f16: "F16",
  u16: "U16",
  i16: "I16",
  f8_e5m2fnuz: "F8_E5M2FNUZ",
  f8_e4m3fnuz: "F8_E4M3FNUZ",
  f8_e8m0: "F8_E8M0",
  f8_e4m3: "F8_E4M3",
  f8_e5m2: "F8_E5M2",
  i8: "I8",
  u8: "U8",
  f6_e3m2: "F6_E3M2",
  f6_e2m3: "F6_E2M3",
  f4: "F4",
  bool: "BOOL",
} as const;
export type StoredType = keyof typeof storedTypes;

/** Bytes per element. */
export const bytesPer: Readonly<Record<StoredType, number>> = {
  u64: 8,
  i64: 8,
  f64: 8,
  c64: 8,
  f32: 4,
  u32: 4,
  i32: 4,
  bf16: 2,
  f16: 2,
  u16: 2,
  i16: 2,
  f8_e5m2fnuz: 1,
  f8_e4m3fnuz: 1,
  f8_e8m0: 1,
  f8_e4m3: 1,
  f8_e5m2: 1,
  i8: 1,
  u8: 1,
  f6_e3m2: 0.75,
  f6_e2m3: 0.75,
  f4: 0.5,
  bool: 1,
};

/** Whether its numbers are real ones, not integers, flags or pairs. */
export function isReal(type: StoredType): boolean {
  return /^b?f\d/.test(type);
}

/** How many numbers a shape holds. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/**
 * Little-endian bytes of the tensor `name` as f32. An aligned f32 input is not copied: the result shares its
 * memory.
 */
export function toF32(bytes: Uint8Array, dtype: StoredType, name = ""): Float32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, Math.ceil(bytesPer[dtype]));
  const length = byteLength / bytesPer[dtype];
  switch (dtype) {
    case "f32":
      return new Float32Array(buffer, byteOffset, length);
    case "f16":
    case "bf16":
      return expandToF32(new Uint8Array(buffer, byteOffset, byteLength), dtype);
    case "f64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, length));
    case "u64":
      return Float32Array.from(new BigUint64Array(buffer, byteOffset, length), Number);
    case "i64":
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    case "u32":
      return Float32Array.from(new Uint32Array(buffer, byteOffset, length));
    case "i32":
      return Float32Array.from(new Int32Array(buffer, byteOffset, length));
    case "u16":
      return Float32Array.from(new Uint16Array(buffer, byteOffset, length));
    case "i16":
      return Float32Array.from(new Int16Array(buffer, byteOffset, length));
    case "i8":
      return Float32Array.from(new Int8Array(buffer, byteOffset, length));
    case "c64":
    case "f6_e3m2":
    case "f6_e2m3":
    case "f4":
      throw unreadableType(dtype, name);
    case "u8":
    case "bool":
      return Float32Array.from(new Uint8Array(buffer, byteOffset, length));
    default:
      return expandFloat8(new Uint8Array(buffer, byteOffset, byteLength), dtype);
  }
}

function unreadableType(dtype: StoredType, name: string): PeftError {
  return new PeftError("checkpoint", {
    what: `The tensor "${name}" is stored as ${storedTypes[dtype]}.`,
    why: "floats of 8 to 64 bits and whole numbers are read here.",
    fix: "use a checkpoint in f32, f16 or bf16.",
  });
}

/** f32 as little-endian bytes of a float format, rounded to nearest, ties to even, as PyTorch rounds. */
export function fromF32(values: Float32Array, dtype: "f32" | "f16" | "bf16" | "f64"): Uint8Array {
  if (dtype === "f32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (dtype === "f64") return new Uint8Array(Float64Array.from(values).buffer);
  return new Uint8Array(roundToHalves(values, dtype).buffer);
}

function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}
