import type { Adapter } from "../adapters/adapter.js";
import { PeftError } from "../errors.js";
import type { Turns } from "../run/turns.js";

/**
 * Calls on a model with adapters, in their order: each waits for what was to be done to its adapters before.
 */
export class AdapterTurns {
  readonly #turns: Turns;
  /**
   * What is still to be done before the next run: starting values from the base's weights, restored weights.
   */
  #ready: Promise<void> = Promise.resolve();
  readonly #faults: unknown[] = [];
  /** Adapters that such work is for. */
  readonly #unready: Adapter[] = [];
  /** Adapters that were removed: a run that was called before cannot use them. */
  readonly #removed: WeakSet<Adapter> = new WeakSet();

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** Work that changes an adapter or the model under it: before whatever is called from now on. */
  change<R>(adapter: Adapter, work: () => Promise<R>): Promise<R> {
    this.#unready.push(adapter);
    return this.#turns.alone(async () => {
      try {
        return await work();
      } finally {
        this.#unready.splice(this.#unready.indexOf(adapter), 1);
      }
    });
  }

  /** The same for what nobody waits for: the next run throws what went wrong in it. */
  after(adapter: Adapter, work: () => Promise<void>, otherwise?: () => void): void {
    this.#ready = this.change(adapter, work).catch((error) => {
      otherwise?.();
      this.#faults.push(error);
    });
  }

  throwFault(): void {
    const [fault] = this.#faults.splice(0);
    if (fault !== undefined) throw fault;
  }

  /** A call's work when its turn has come; the adapters that it was called for do not train meanwhile. */
  turn<R>(kind: "beside" | "alone", adapters: readonly Adapter[], work: () => Promise<R>): Promise<R> {
    const changes = adapters.flatMap((adapter) => adapter.state.changing);
    const run = this.#turns[kind](async () => {
      await Promise.all(changes);
      this.throwFault();
      const removed = adapters.find((adapter) => this.#removed.has(adapter));
      if (removed !== undefined) throw unloaded(removed);
      return await work();
    });
    for (const adapter of adapters) adapter.state.useFor(run);
    return run;
  }

  /** Waits for what `after` was told. Throws what went wrong in it, once. */
  async ready(): Promise<void> {
    for (let last: Promise<void> | undefined; last !== this.#ready; ) {
      last = this.#ready;
      await last;
    }
    this.throwFault();
  }

  /** Whether an adapter's tensors are still being made or changed. */
  isUnready(adapter: Adapter): boolean {
    return this.#unready.includes(adapter) || adapter.state.changing.length > 0;
  }

  /** No run can use an adapter from now on. */
  refuse(adapter: Adapter): void {
    this.#removed.add(adapter);
  }
}

function unloaded({ name }: Adapter): PeftError {
  return new PeftError("adapter-name", {
    what: `The adapter "${name}" is no more.`,
    why: "the model was unloaded, or the adapter could not be made, before the turn of this call came.",
    fix: "await calls that change a model before those that use it.",
  });
}
