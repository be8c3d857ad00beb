import type { Step } from "./messages.js";

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
  readonly #keep: number;
  /** In the order of last use. */
  readonly #entries: Map<string, number> = new Map();
  readonly #buffers: Spare = new Spare();
  #held = 0;

  constructor(bytesOf: (weight: string) => number, keep: number) {
    this.#bytesOf = bytesOf;
    this.#keep = keep;
  }

  get bytes(): number {
    return this.#buffers.total;
  }

  run(step: Step, next: Step): void {
    const now = Object.values(step.weights);
    this.#load(now, new Set(now), true);
    for (const name of now) {
      const bytes = this.#entries.get(name)!;
      this.#entries.delete(name);
      this.#entries.set(name, bytes);
    }
    const ahead = Object.values(next.weights);
    this.#load(ahead, new Set([...ahead, ...now]), false);
  }

  #load(wanted: readonly string[], protect: ReadonlySet<string>, must: boolean): void {
    for (const name of wanted) {
      if (this.#entries.has(name)) continue;
      const bytes = this.#bytesOf(name);
      if (!this.#makeRoom(bytes, protect) && !must) return;
      this.#entries.set(name, bytes);
      this.#held += bytes;
      this.#buffers.take(bytes);
    }
  }

  #makeRoom(bytes: number, protect: ReadonlySet<string>): boolean {
    for (const [name, size] of this.#entries) {
      if (this.#held + bytes <= this.#keep) return true;
      if (protect.has(name)) continue;
      this.#entries.delete(name);
      this.#held -= size;
      this.#buffers.give(size);
    }
    return this.#held + bytes <= this.#keep;
  }
}
