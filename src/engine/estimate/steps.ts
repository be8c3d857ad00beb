import type { Sized } from "../buffers.js";
import { Buffers } from "../buffers.js";
import type { Step } from "../messages.js";
import { Residents } from "../weights/residents.js";

/** A result of a step. */
export interface StepResult {
  readonly name: string;
  readonly bytes: number;
  /** It goes into a buffer that serves again. */
  readonly pooled: boolean;
}

/** A value as long as it is there. */
interface Live {
  readonly bytes: number;
  readonly buffer: Sized | undefined;
}

/** Values between steps, as `Sessions` keeps them. */
export class HeldValues {
  readonly #live: Map<string, Live> = new Map();
  readonly #buffers: Buffers<Sized> = new Buffers((byteLength) => ({ byteLength }));
  #loose = 0;
  most = 0;

  run(step: Step, results: readonly StepResult[]): void {
    const made = new Map(results.map((result) => [result.name, this.#take(result)]));
    const doubles: Live[] = [];
    for (const [output, value] of Object.entries(step.outputs)) {
      const result = made.get(output);
      if (result === undefined) continue;
      if (this.#live.has(value)) doubles.push(result);
      else this.#live.set(value, result);
    }
    this.most = Math.max(this.most, this.#buffers.total + this.#loose);
    for (const result of doubles) this.#give(result);
    for (const value of step.free) {
      this.#give(this.#live.get(value));
      this.#live.delete(value);
    }
  }

  #take({ pooled, bytes }: StepResult): Live {
    if (!pooled) this.#loose += bytes;
    return { bytes, buffer: pooled ? this.#buffers.take(bytes) : undefined };
  }

  #give(value: Live | undefined): void {
    if (value?.buffer !== undefined) this.#buffers.give(value.buffer);
    else this.#loose -= value?.bytes ?? 0;
  }
}

/** Weights that are fed block by block, as `WeightCache` keeps them. */
export class FedWeights {
  readonly #bytesOf: (weight: string) => number;
  readonly #residents: Residents;
  #now = 0;
  /** The most that was in memory at once. */
  bytes = 0;

  constructor(bytesOf: (weight: string) => number, keep: number) {
    this.#bytesOf = bytesOf;
    this.#residents = new Residents(keep, {
      enter: (_, bytes) => {
        this.#now += bytes;
        this.bytes = Math.max(this.bytes, this.#now);
      },
      leave: (_, bytes) => {
        this.#now -= bytes;
      },
    });
  }

  run(step: Step, next: Step): void {
    const now = Object.values(step.weights);
    this.#residents.use(now, this.#bytesOf);
    this.#residents.expect(Object.values(next.weights), now, this.#bytesOf);
  }
}
