import { largestInt8Weight } from "../../src/engine/engine.js";
import type { LoadOptions } from "../../src/peft/base_model.js";
import type { Context } from "./result.js";

export type Format = NonNullable<LoadOptions["load"]>;

export interface Limits {
  readonly logits: number;
  readonly loss: number;
  readonly grad: number;
}

/**
 * What formats may differ by from Python's f32: logits and all gradients together in the norm of their
 * difference, relative to their own; losses absolute or relative. The kit's matrices are small and random,
 * which is hard on them. T5 does not scale its attention's scores: with random weights its softmax is all but
 * an arg-max, and errors grow.
 */
const LIMITS: Readonly<Record<Format, Limits>> = {
  f32: { logits: 1e-4, loss: 1e-4, grad: 1e-4 },
  f16: { logits: 2e-3, loss: 2e-3, grad: 2e-2 },
  bf16: { logits: 2e-2, loss: 2e-2, grad: 6e-2 },
  int8: { logits: 4e-2, loss: 2e-2, grad: 8e-2 },
  int4: { logits: 0.4, loss: 0.2, grad: 0.8 },
  int4x32: { logits: 0.4, loss: 0.2, grad: 0.8 },
  int4x128: { logits: 0.4, loss: 0.2, grad: 0.8 },
  nf4: { logits: 0.4, loss: 0.2, grad: 0.8 },
};

/** On processors whose kernels saturate, int8 keeps 7 bits of a weight: it rounds them twice as coarsely. */
const SEVEN_BITS = { logits: 6e-2, loss: 3e-2, grad: 0.16 };

/** What such models and adapters make of the base's rounding: T5 as above; RandLoRA's products of many random matrices. Rounding llama's
 * weights alone to 8 bits, in f32 arithmetic, moves RandLoRA's logits by 16 % and its gradients by 27 %,
 * against LoRA's 1 and 1.5 %. */
const UNSCALED = { logits: 4, grad: 10 };
const AMPLIFIED = { logits: 10, grad: 20 };

export async function limitsOf(name: string, { file }: Context, format: Format): Promise<Limits> {
  const limits = format === "int8" && (await largestInt8Weight()) === 63 ? SEVEN_BITS : LIMITS[format];
  const factor = /^models\/m?t5/.test(file.model)
    ? UNSCALED
    : name.endsWith("--randlora")
      ? AMPLIFIED
      : { logits: 1, grad: 1 };
  return {
    logits: factor.logits * limits.logits,
    loss: factor.logits * limits.loss,
    grad: factor.grad * limits.grad, // beyond 1: not compared
  };
}
