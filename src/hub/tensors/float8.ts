/** Floats of 8 bits that checkpoints store, as PyTorch and safetensors name them. */
export type Float8 = "f8_e4m3" | "f8_e5m2" | "f8_e8m0" | "f8_e4m3fnuz" | "f8_e5m2fnuz";

interface Layout {
  /** Bits of the fraction; what is left beside the sign is the exponent. */
  readonly fraction: number;
  readonly bias: number;
  /** The value of a byte without its sign that is no finite number; undefined: it is one. */
  readonly special: (byte: number) => number | undefined;
}

const layouts: Readonly<Record<Exclude<Float8, "f8_e8m0">, Layout>> = {
  f8_e4m3: { fraction: 3, bias: 7, special: (byte) => (byte === 0x7f ? Number.NaN : undefined) },
  f8_e5m2: {
    fraction: 2,
    bias: 15,
    special: (byte) => (byte < 0x7c ? undefined : byte === 0x7c ? Number.POSITIVE_INFINITY : Number.NaN),
  },
  f8_e4m3fnuz: { fraction: 3, bias: 8, special: () => undefined },
  f8_e5m2fnuz: { fraction: 2, bias: 16, special: () => undefined },
};

/**
 * The 256 values of a type. References: arXiv 2209.05433, 2206.02915 (fnuz), the OCP's MX specification
 * (e8m0).
 */
function valuesOf(type: Float8): Float32Array {
  return Float32Array.from({ length: 256 }, (_, byte) => {
    if (type === "f8_e8m0") return byte === 255 ? Number.NaN : 2 ** (byte - 127);
    if (type.endsWith("fnuz") && byte === 0x80) return Number.NaN; // the code of -0 elsewhere
    const { fraction, bias, special } = layouts[type];
    const size = byte & 0x7f;
    const exponent = size >> fraction;
    const part = (size & ((1 << fraction) - 1)) / 2 ** fraction;
    const value =
      special(size) ?? (exponent === 0 ? part * 2 ** (1 - bias) : (1 + part) * 2 ** (exponent - bias));
    return byte < 0x80 ? value : -value;
  });
}

/** Bytes of a float type as f32; exact. */
export function expandFloat8(bytes: Uint8Array, type: Float8): Float32Array {
  const values = valuesOf(type);
  const out = new Float32Array(bytes.length);
  for (let i = 0; i < out.length; i++) out[i] = values[bytes[i]!]!;
  return out;
}
