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
      return halfToF32(new Uint16Array(buffer, byteOffset, length));
    case "bf16":
      return brainToF32(new Uint16Array(buffer, byteOffset, length));
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
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  const round = dtype === "f16" ? roundToHalf : roundToBrain;
  for (let i = 0; i < out.length; i++) out[i] = round(bits[i]!);
  return new Uint8Array(out.buffer);
}

function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}

/** bf16 is the upper half of an f32. */
function brainToF32(x: Uint16Array): Float32Array {
  const bits = new Uint32Array(x.length);
  for (let i = 0; i < x.length; i++) bits[i] = x[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** Large arrays look their values up. */
function halfToF32(x: Uint16Array): Float32Array {
  if (x.length <= 1 << 16) return halves(x);
  const table = halves(Uint16Array.from({ length: 1 << 16 }, (_, i) => i));
  const bits = new Uint32Array(table.buffer);
  const out = new Uint32Array(x.length); // bits, so that NaNs stay as they are
  for (let i = 0; i < x.length; i++) out[i] = bits[x[i]!]!;
  return new Float32Array(out.buffer);
}

/** Exponents differ by 127 - 15 = 112, mantissas by 13 bits; subnormals are m 2^-24. */
function halves(x: Uint16Array): Float32Array {
  const y = new Float32Array(x.length);
  const bits = new Uint32Array(y.buffer);
  for (let i = 0; i < x.length; i++) {
    const half = x[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = half & 0x7c00;
    const mantissa = half & 0x03ff;
    if (exponent === 0) y[i] = sign === 0 ? mantissa * 2 ** -24 : -mantissa * 2 ** -24;
    else if (exponent === 0x7c00) bits[i] = sign | 0x7f800000 | (mantissa << 13);
    else bits[i] = sign | ((exponent + (112 << 10)) << 13) | (mantissa << 13);
  }
  return y;
}

function roundToBrain(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff; // NaN stays NaN
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function roundToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00; // NaN
  if (size >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (size >= 0x38800000) return sign | ((size - (112 << 23) + 0xfff + ((size >>> 13) & 1)) >>> 13);
  if (size < 0x33000000) return sign; // below half of 2^-24
  const shift = 126 - (size >>> 23); // how many bits a subnormal loses, 14 to 24
  const mantissa = (size & 0x7fffff) | 0x800000;
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}
