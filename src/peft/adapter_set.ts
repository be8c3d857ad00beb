import { type Adapter, parameterName, parametersOf } from "../adapters/adapter.js";
import { checkName, checkTogether } from "../adapters/checks.js";
import { PeftError } from "../errors.js";
import type { Parameter, Parameters } from "../graph/parameters.js";

/** The adapters of a model by their names, and which of them are active. */
export class AdapterSet {
  readonly byName: Map<string, Adapter> = new Map();
  /** Names of those that calls use where they say nothing. */
  activeNames: readonly string[] = [];
  /** Names of adapters that are being loaded, and are not there yet. */
  readonly #reserved: Set<string> = new Set();
  /** Parameters of several adapters that train together, by their ids. */
  readonly #together: Map<string, Parameters> = new Map();

  /** Throws "adapter-name" where there is none of this name. */
  get(name: string): Adapter {
    const adapter = this.byName.get(name);
    if (adapter !== undefined) return adapter;
    const names = [...this.byName.keys()].join(", ");
    throw new PeftError("adapter-name", {
      what: `There is no adapter "${name}".`,
      why: names === "" ? "the model has none." : `it has ${names}.`,
      fix: "use one of these, or addAdapter() or loadAdapter() first.",
    });
  }

  /** Adapters by name; the active ones where no names are given. */
  named(names: readonly string[] = this.activeNames): Adapter[] {
    return names.map((name) => this.get(name));
  }

  /** The active adapters, one at least. Throws "adapter-name" where there is none. */
  active(): readonly [Adapter, ...Adapter[]] {
    const [first = "default", ...others] = this.activeNames;
    return [this.get(first), ...this.named(others)];
  }

  /** Positions that the active adapters' prompts take. */
  virtualTokens(): number {
    const tokens = this.named().map(({ method, config }) => method?.prompt?.tokens(config) ?? 0);
    return tokens.reduce((a, b) => a + b, 0);
  }

  /** Throws "adapter-name", "adapter-config" for those that cannot work together. */
  activate(names: readonly string[]): void {
    const list = [...new Set(names)];
    checkTogether(this.named(list));
    if (list.length === 0)
      throw new PeftError("adapter-name", {
        what: "setAdapter got no names.",
        why: "one adapter at least is active.",
        fix: "name one, or run on the plain base: disableAdapter(() => ...).",
      });
    this.activeNames = list;
  }

  /** The first one becomes active. */
  add(adapter: Adapter): void {
    this.byName.set(adapter.name, adapter);
    if (this.activeNames.length === 0) this.activeNames = [adapter.name];
  }

  /** Puts an adapter in the place of one of the same name. */
  replace(old: Adapter, adapter: Adapter): void {
    this.get(old.name);
    this.byName.set(old.name, adapter);
    this.#together.clear();
  }

  /** Where none of the active ones is left, the first of the others becomes active. */
  remove(adapter: Adapter): void {
    const { name } = adapter;
    if (this.byName.get(name) === adapter) this.byName.delete(name);
    this.#together.clear();
    this.activeNames = this.activeNames.filter((n) => this.byName.has(n));
    const [first] = this.byName.keys();
    if (this.activeNames.length === 0 && first !== undefined) this.activeNames = [first];
  }

  /** Throws "adapter-name" for a name that a new adapter cannot have. */
  checkName(name: string): void {
    checkName(name, new Set([...this.byName.keys(), ...this.#reserved]));
  }

  /** Nobody else takes an adapter's name during `work`. Throws "adapter-name". */
  async reserving<R>(name: string, work: () => Promise<R>): Promise<R> {
    this.checkName(name);
    this.#reserved.add(name);
    try {
      return await work();
    } finally {
      this.#reserved.delete(name);
    }
  }

  /**
   * Trainable tensors of adapters that train together, with their gradient: for the same adapters the same
   * object.
   */
  parametersOf(adapters: readonly Adapter[]): Parameters {
    if (adapters.length === 1) return parametersOf(adapters);
    const key = adapters.map((a) => a.uid).join();
    const parameters = this.#together.get(key) ?? parametersOf(adapters);
    this.#together.set(key, parameters);
    return parameters;
  }

  /** Takes ranks away from the active adapters after an optimizer's step, where their method does so. */
  allocate(globalStep: number): void {
    const adapters = this.active();
    const parameters = this.parametersOf(adapters);
    for (const [slot, adapter] of adapters.entries())
      adapter.state.allocate(globalStep, parameters, (key) => parameterName(adapters, slot, key));
  }

  /** What `allocate` remembers. */
  allocationState(): readonly Parameter[] {
    const adapters = this.named();
    return adapters.flatMap((adapter, slot) =>
      (adapter.state.allocator?.state() ?? []).map(({ name, data }) => {
        return { name: parameterName(adapters, slot, name), shape: [data.length], data };
      }),
    );
  }
}
