import type { Adapter } from "../adapters/adapter.js";
import { checkTogether } from "../adapters/checks.js";
import { PeftError } from "../errors.js";
import type { Loan, Runtime } from "../run/runtime.js";
import { option, words } from "../words.js";
import { mergedWeights, mergers } from "./merge.js";

/**
 * What one model's adapters changed of the base's weights, to be taken back: residuals of adapters that keep a part of the base in
 * themselves (PiSSA, OLoRA), and merges on top of them.
 */
export class BaseChanges {
  readonly #runtime: Runtime;
  readonly #residuals: Map<Adapter, Loan> = new Map();
  #merged: { readonly adapter: Adapter; readonly loan: Loan }[] = [];

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  get merged(): readonly Adapter[] {
    return this.#merged.map((m) => m.adapter);
  }

  isMerged(adapter: Adapter): boolean {
    return this.#merged.some((m) => m.adapter === adapter);
  }

  /** Adapters that keep a part of the base in themselves. */
  get residuals(): readonly Adapter[] {
    return [...this.#residuals.keys()];
  }

  /** Weights of the base with adapters merged, one by one as they are asked for; the base itself stays as it is. */
  mergers(adapters: readonly Adapter[]): Map<string, () => Promise<Float32Array>> {
    checkTogether(adapters);
    return mergers(this.#runtime, adapters);
  }

  /** The base without what this adapter keeps. Throws "adapter-config" where its weights are changed already. */
  async reduce(adapter: Adapter, residuals: ReadonlyMap<string, Float32Array>): Promise<void> {
    refuseQuantized(this.#runtime, `The adapter "${adapter.name}" cannot start on this base`);
    const [loan] = this.#runtime.loans;
    if (loan !== undefined)
      throw new PeftError("adapter-config", {
        what: `The adapter "${adapter.name}" cannot start on this base.`,
        why: `it takes a part of the base's weights into itself, and these are changed: ${loan.what}.`,
        fix: "load the base once more for it, or unmerge, unload or delete the other first.",
      });
    const what = `adapter "${adapter.name}" keeps a part of them`;
    this.#residuals.set(adapter, await this.#runtime.lend(this, what, residuals));
  }

  /** Takes back what `reduce` did. */
  async restore(adapter: Adapter): Promise<void> {
    const loan = this.#residuals.get(adapter);
    this.#residuals.delete(adapter);
    if (loan !== undefined) await this.#runtime.giveBack(loan);
  }

  /** Merges adapters, all or none. Throws "adapter-config". */
  async merge(adapters: readonly Adapter[], safe: boolean): Promise<void> {
    const names = adapters.map((a) => a.name).join(", ");
    const other = this.#runtime.loans.find((loan) => loan.owner !== this);
    if (other !== undefined)
      throw new PeftError("adapter-config", {
        what: `The adapters ${names} cannot be merged into this base.`,
        why: `another PeftModel changed its weights: ${other.what}.`,
        fix: "unmerge or unload there first, or load the base once more.",
      });
    refuseQuantized(this.#runtime, `The adapters ${names} cannot be merged in place`);
    checkTogether([...this.merged, ...adapters]);
    const weights = await mergedWeights(this.#runtime, adapters, safe);
    const loan = await this.#runtime.lend(this, `${names} are merged`, weights);
    this.#merged.push(...adapters.map((adapter) => ({ adapter, loan })));
  }

  /** Takes all merges back, the last one first. */
  async unmerge(): Promise<void> {
    const loans = [...new Set(this.#merged.map((m) => m.loan))];
    this.#merged = [];
    for (const loan of loans.reverse()) await this.#runtime.giveBack(loan);
  }

  /** All changes stay for good. */
  keep(): void {
    const loans = [...this.#residuals.values(), ...this.#merged.map((m) => m.loan)];
    for (const loan of loans) this.#runtime.keep(loan);
    this.#residuals.clear();
    this.#merged = [];
  }
}

/** Weights of 8 or 4 bits stay as they are: what an adapter adds is finer than their steps. */
function refuseQuantized(runtime: Runtime, what: string): void {
  const format = runtime.quantized;
  if (format === undefined) return;
  throw new PeftError("adapter-config", {
    what: `${what}: its base is held in ${format}.`,
    why: "the base's weights would have to change, and are rounded too coarsely to hold what the adapter adds.",
    fix: words`write the merged model in full precision, straight from the checkpoint to the disk: saveMerged(folder), or \`peft merge\`; or load the base without ${option("load")}.`,
  });
}
