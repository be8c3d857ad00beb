import { AsyncLocalStorage } from "node:async_hooks";

/**
 * A mark on everything that a function calls, in whatever order its promises settle, and on nothing that runs
 * beside it.
 */
export class CallScope {
  readonly #storage: AsyncLocalStorage<boolean> = new AsyncLocalStorage();

  run<R>(work: () => R): R {
    return this.#storage.run(true, work);
  }

  get isInside(): boolean {
    return this.#storage.getStore() ?? false;
  }
}
