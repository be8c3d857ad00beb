import type { StoredType } from "../../src/hub/tensors/dtypes.js";
import { bytesPer, fromF32 } from "../../src/hub/tensors/dtypes.js";
import { random, uniform } from "../../src/random.js";

export type FloatType = Extract<StoredType, "f32" | "f16" | "bf16">;

/** Numbers drawn once; tensors are cut from it at shifting places. */
const NUMBERS = 1 << 21;
const SHIFT = 611_953;
const MATRIX = 0.03;
const BIAS = 0.003;

/**
 * Bytes of tensors, in pieces of some MB: matrices and biases at random, norms' scales 1. The same on every
 * machine.
 */
export class Noise {
  readonly #bytes: number;
  readonly #matrix: Uint8Array;
  readonly #bias: Uint8Array;
  readonly #ones: Uint8Array;

  constructor(dtype: FloatType) {
    this.#bytes = bytesPer[dtype];
    const next = random(0);
    const numbers = Float32Array.from({ length: NUMBERS }, () => 2 * uniform(next) - 1);
    const times = (size: number): Uint8Array =>
      fromF32(
        numbers.map((x) => x * size),
        dtype,
      );
    this.#matrix = times(MATRIX);
    this.#bias = times(BIAS);
    this.#ones = fromF32(new Float32Array(NUMBERS).fill(1), dtype);
  }

  /** `seed`: tensors with different ones begin at different places. */
  *tensor(name: string, shape: readonly number[], seed: number): Generator<Uint8Array> {
    const source = shape.length > 1 ? this.#matrix : name.endsWith("bias") ? this.#bias : this.#ones;
    let rest = shape.reduce((a, b) => a * b, 1);
    for (let piece = 0; rest > 0; piece++) {
      const start = ((seed * 31 + piece + 1) * SHIFT) % NUMBERS;
      const count = Math.min(rest, NUMBERS - start);
      yield source.subarray(start * this.#bytes, (start + count) * this.#bytes);
      rest -= count;
    }
  }
}
