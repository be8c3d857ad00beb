/** The two floats of 16 bits that checkpoints store. */
export type HalfType = "f16" | "bf16";

/** Whether a format, or a type, is one of 16 bits. */
export function isHalf(name: string | undefined): name is HalfType {
  return name === "f16" || name === "bf16";
}

/** f16 or bf16, little-endian and aligned, as f32: exact, NaNs with their bits. */
export function expandToF32(bytes: Uint8Array, type: HalfType): Float32Array {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const bits = new Uint32Array(halves.length);
  if (type === "bf16") for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  else for (let i = 0; i < halves.length; i++) bits[i] = f16Bits(halves[i]!);
  return new Float32Array(bits.buffer);
}

/** f32 as the bits of f16 or bf16, rounded to nearest, ties to even, as PyTorch rounds. */
export function roundToHalves(values: Float32Array, type: HalfType): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  if (type === "bf16") for (let i = 0; i < out.length; i++) out[i] = roundToBrain(bits[i]!);
  else for (let i = 0; i < out.length; i++) out[i] = roundToHalf(bits[i]!);
  return out;
}

/**
 * The f32 bits of an f16 (sign, 5 bits of exponent, 10 of fraction): exponents differ by 127 - 15 = 112,
 * fractions by 13 bits.
 */
function f16Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // a subnormal's highest bit becomes the hidden one
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 1023) << 13);
}

/** bf16 is the upper half of an f32. */
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
