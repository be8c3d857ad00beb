import type { Adapter } from "../adapters/adapter.js";
import { checkTogether } from "../adapters/checks.js";
import { PeftError } from "../errors.js";
import type { Patch, Runtime } from "../run/runtime.js";
import { option, words } from "../words.js";
import { mergedWeights, mergers } from "./merge.js";

/**
 * What one model's adapters changed of the base's weights, to be restored: residuals of adapters that keep a
 * part of the base in themselves (PiSSA, OLoRA), and merges on top of them.
 */
export class BaseChanges {
  readonly #runtime: Runtime;
  readonly #residuals: Map<Adapter, Patch> = new Map();
  #merged: { readonly adapter: Adapter; readonly patch: Patch }[] = [];

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

  /**
   * Weights of the base with adapters merged, one by one as they are asked for; the base itself stays as it
   * is.
   */
  mergers(adapters: readonly Adapter[]): Map<string, () => Promise<Float32Array>> {
    checkTogether(adapters);
    return mergers(this.#runtime, adapters);
  }

  /**
   * The base without what this adapter keeps. Throws "adapter-config" where its weights are changed already.
   */
  async reduce(adapter: Adapter, residuals: ReadonlyMap<string, Float32Array>): Promise<void> {
    refuseQuantized(this.#runtime, `The adapter "${adapter.name}" cannot start on this base`);
    const [patch] = this.#runtime.patches;
    if (patch !== undefined)
      throw new PeftError("adapter-config", {
        what: `The adapter "${adapter.name}" cannot start on this base.`,
        why: `it takes a part of the base's weights into itself, and these are changed: ${patch.what}.`,
        fix: "load the base once more for it, or unmerge, unload or delete the other first.",
      });
    const what = `adapter "${adapter.name}" keeps a part of them`;
    this.#residuals.set(adapter, await this.#runtime.patch(this, what, residuals));
  }

  /** Takes back what `reduce` did. */
  async restore(adapter: Adapter): Promise<void> {
    const patch = this.#residuals.get(adapter);
    this.#residuals.delete(adapter);
    if (patch !== undefined) await this.#runtime.restore(patch);
  }

  /** Merges adapters, all or none. Throws "adapter-config". */
  async merge(adapters: readonly Adapter[], safe: boolean): Promise<void> {
    const names = adapters.map((a) => a.name).join(", ");
    const other = this.#runtime.patches.find((patch) => patch.owner !== this);
    if (other !== undefined)
      throw new PeftError("adapter-config", {
        what: `The adapters ${names} cannot be merged into this base.`,
        why: `another PeftModel changed its weights: ${other.what}.`,
        fix: "unmerge or unload there first, or load the base once more.",
      });
    refuseQuantized(this.#runtime, `The adapters ${names} cannot be merged in place`);
    checkTogether([...this.merged, ...adapters]);
    const weights = await mergedWeights(this.#runtime, adapters, safe);
    const patch = await this.#runtime.patch(this, `${names} are merged`, weights);
    this.#merged.push(...adapters.map((adapter) => ({ adapter, patch })));
  }

  /** Restores what merges patched, the last one first. */
  async unmerge(): Promise<void> {
    const patches = [...new Set(this.#merged.map((m) => m.patch))];
    this.#merged = [];
    for (const patch of patches.reverse()) await this.#runtime.restore(patch);
  }

  /** All patches stay for good. */
  keep(): void {
    const patches = [...this.#residuals.values(), ...this.#merged.map((m) => m.patch)];
    for (const patch of patches) this.#runtime.keep(patch);
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
