import type { Step } from "./messages.js";
import { Residents } from "./residents.js";

/** A result of a step. */
export interface StepResult {
  readonly name: string;
  readonly bytes: number;
  /** It goes into a buffer that serves again. */
  readonly pooled: boolean;
}

/** Buffers by their size, of which none is ever let go: as `Buffers` has them. */
class Spare {
  readonly #spare: Map<number, number> = new Map();
  total = 0;

  take(bytes: number): void {
    const left = this.#spare.get(bytes) ?? 0;
    if (left > 0) this.#spare.set(bytes, left - 1);
    else this.total += bytes;
  }

  give(bytes: number): void {
    this.#spare.set(bytes, (this.#spare.get(bytes) ?? 0) + 1);
  }
}

/** Values between steps, as `Sessions` keeps them. */
export class HeldValues {
  readonly #live: Map<string, StepResult> = new Map();
  readonly #buffers: Spare = new Spare();
  #loose = 0;
  most = 0;

  run(step: Step, results: readonly StepResult[]): void {
    const made = new Map(results.map((r) => [r.name, r]));
    const doubles: StepResult[] = [];
    for (const result of results) this.#take(result);
    for (const [output, value] of Object.entries(step.outputs)) {
      const result = made.get(output);
      if (result === undefined) continue;
      if (this.#live.has(value)) doubles.push(result);
      else this.#live.set(value, result);
    }
    this.most = Math.max(this.most, this.#buffers.total + this.#loose);
    for (const result of doubles) this.#give(result);
    for (const value of step.free) this.#free(value);
  }

  /** The end of a run: what is not a buffer of the pool's is gone. */
  end(): void {
    for (const value of [...this.#live.keys()]) this.#free(value);
  }

  #free(value: string): void {
    const result = this.#live.get(value);
    this.#live.delete(value);
    if (result !== undefined) this.#give(result);
  }

  #take({ pooled, bytes }: StepResult): void {
    if (pooled) this.#buffers.take(bytes);
    else this.#loose += bytes;
  }

  #give({ pooled, bytes }: StepResult): void {
    if (pooled) this.#buffers.give(bytes);
    else this.#loose -= bytes;
  }
}

/** Weights that are fed block by block, as `WeightCache` keeps them. */
export class FedWeights {
  readonly #bytesOf: (weight: string) => number;
  readonly #residents: Residents;
  readonly #buffers: Spare = new Spare();

  constructor(bytesOf: (weight: string) => number, keep: number) {
    this.#bytesOf = bytesOf;
    this.#residents = new Residents(keep, {
      enter: (_, bytes) => this.#buffers.take(bytes),
      leave: (_, bytes) => this.#buffers.give(bytes),
    });
  }

  get bytes(): number {
    return this.#buffers.total;
  }

  run(step: Step, next: Step): void {
    const now = Object.values(step.weights);
    this.#residents.use(now, this.#bytesOf);
    this.#residents.expect(Object.values(next.weights), now, this.#bytesOf);
  }
}
