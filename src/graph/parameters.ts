import { internal } from "../errors.js";
import { at } from "../present.js";

/** One trainable tensor, f32. `data` is written in place by optimizers. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * The trainable tensors of a model and their gradient, which lies in one flat buffer in the order of the
 * list, so that a hook can reduce it over machines before the optimizer reads it.
 * `gradient` holds the SUM of the loss's gradient over everything since `zero()`; `count` the number it must
 * be divided by (labelled tokens, or rows where the loss is per row).
 */
export class Parameters implements Iterable<Parameter> {
  readonly list: readonly Parameter[];
  readonly offsets: readonly number[];
  readonly gradient: Float32Array;
  count = 0;
  /** Grows whenever the tensors may have changed, so that copies elsewhere know. */
  version = 0;
  /** The gradient of the mean loss that the last step was taken by, where it is asked for. */
  lastGradient: Float32Array | undefined;
  /**
   * Optimizer steps taken on these tensors: a part of the keys of dropout's random numbers. Checkpoints hold
   * it.
   */
  step = 0;

  /** The end of all work that reads these tensors, or adds to their gradient. */
  #used: Promise<unknown> = Promise.resolve();
  #changing: Promise<unknown> | undefined;

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

  /** Says that work reads these tensors, or adds to their gradient, until it ends: changes wait for it. */
  useFor(work: Promise<unknown>): void {
    this.#used = Promise.allSettled([this.#used, work]).then(() => undefined);
  }

  /**
   * Changes the tensors when nothing uses them any more that was called before; what is called from then on
   * waits for the end.
   */
  async change<T>(work: () => Promise<T>): Promise<T> {
    const run = Promise.all([this.#used, this.#changing]).then(work);
    const changing = Promise.allSettled([run]);
    this.#changing = changing;
    try {
      return await run;
    } finally {
      if (this.#changing === changing) this.#changing = undefined;
    }
  }

  /** The end of a change that is under way. */
  get changing(): Promise<unknown> | undefined {
    return this.#changing;
  }

  get size(): number {
    return this.gradient.length;
  }

  /** The part of a flat gradient (default: the gathered one) that belongs to parameter `i`, as a view. */
  gradientOf(i: number, gradient: Float32Array = this.gradient): Float32Array {
    const start = at(this.offsets, i);
    return gradient.subarray(start, start + at(this.list, i).data.length);
  }

  /** From now on, the gradient of each step is kept until the next one. */
  keepGradient(): void {
    this.lastGradient ??= new Float32Array(this.size);
  }

  /** Says what gradient a step is taken by: the gathered one times `scale` (by clipping). */
  keep(scale: number): void {
    const { lastGradient: last, gradient, count } = this;
    if (last === undefined || count === 0) return;
    for (let i = 0; i < last.length; i++) last[i] = Math.fround(gradient[i]! / count) * scale;
  }

  /** Forgets the gradient, as an optimizer of one's own does after its step. */
  zero(): void {
    this.keep(1);
    this.gradient.fill(0);
    this.count = 0;
    this.version++;
    this.step++;
  }

  [Symbol.iterator](): Iterator<Parameter> {
    return this.list[Symbol.iterator]();
  }
}
