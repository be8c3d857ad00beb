/**
 * Whose turn it is on one model. Work that leaves it as it is runs side by side; work that changes it (its
 * weights, its plan, the gradient) runs by itself; both in the order of their calls.
 */
export class Turns {
  /** The end of the last work that ran by itself. */
  #alone: Promise<unknown> = Promise.resolve();
  /** The end of all work since then. */
  #beside: Promise<unknown> = Promise.resolve();

  beside<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#alone.then(work);
    this.#beside = ended(Promise.allSettled([this.#beside, run]));
    return run;
  }

  alone<T>(work: () => Promise<T>): Promise<T> {
    const run = Promise.all([this.#alone, this.#beside]).then(work);
    this.#alone = ended(run);
    this.#beside = this.#alone;
    return run;
  }
}

function ended(run: Promise<unknown>): Promise<unknown> {
  return run.then(
    () => undefined,
    () => undefined,
  );
}
