import { internal } from "../errors.js";

/** One trainable tensor, f32. `data` is written in place by optimizers. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * The trainable tensors of a model and their gradient, which lies in one flat buffer in the order of the list,
 * so that a hook can reduce it over machines before the optimizer reads it.
 * `gradient` holds the SUM of the loss's gradient over everything since `zero()`; `count` the number it must be divided by
 * (labelled tokens, or rows where the loss is per row).
 */
export class Parameters implements Iterable<Parameter> {
  readonly list: readonly Parameter[];
  readonly offsets: readonly number[];
  readonly gradient: Float32Array;
  count = 0;
  /** Grows whenever the tensors may have changed, so that copies elsewhere know. */
  version = 0;
  /** Optimizer steps taken on these tensors: a part of the keys of dropout's random numbers. Checkpoints hold it. */
  step = 0;

  constructor(list: readonly Parameter[]) {
    this.list = list;
    const offsets: number[] = [];
    let size = 0;
    for (const p of list) {
      offsets.push(size);
      const expected = p.shape.reduce((a, b) => a * b, 1);
      if (p.data.length !== expected)
        internal(`parameter ${p.name} holds ${p.data.length} of ${expected} values`);
      size += expected;
    }
    this.offsets = offsets;
    this.gradient = new Float32Array(size);
  }

  get size(): number {
    return this.gradient.length;
  }

  /** The part of the flat gradient that belongs to parameter `i`, as a view. */
  gradientOf(i: number): Float32Array {
    const start = this.offsets[i]!;
    return this.gradient.subarray(start, start + this.list[i]!.data.length);
  }

  /** Forgets the gradient, as an optimizer of one's own does after its step. */
  zero(): void {
    this.gradient.fill(0);
    this.count = 0;
    this.version++;
    this.step++;
  }

  [Symbol.iterator](): Iterator<Parameter> {
    return this.list[Symbol.iterator]();
  }
}
