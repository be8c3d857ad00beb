import type { Adapter } from "../adapters/adapter.js";
import type { View } from "../adapters/view.js";
import type { Engine } from "../engine/engine.js";
import type { Feed, HostTensor } from "../engine/messages.js";
import { PeftError } from "../errors.js";
import { at } from "../present.js";
import type { AdapterInputs } from "../trace/adapter_inputs.js";

/**
 * Feeds of adapters' inputs. Tensors stay in the engine: they are sent where they changed; scales and gates
 * go with every run.
 */
export class AdapterFeeds {
  /** Names of tensors in the engine -> the version that was sent. */
  readonly #sent: Map<string, number> = new Map();
  readonly #baseWeight: (name: string) => Promise<Float32Array>;

  /** @param baseWeight - a weight of the base, for runs in which the adapter that replaces it is off */
  constructor(baseWeight: (name: string) => Promise<Float32Array>) {
    this.#baseWeight = baseWeight;
  }

  /** Throws "training" where tensors are not those that the run was called with. */
  async of(engine: Pick<Engine, "put">, view: View, inputs: AdapterInputs): Promise<Record<string, Feed>> {
    const feeds: Record<string, Feed> = {};
    const changed: Record<string, HostTensor> = {};
    const versions = new Map<string, number>();
    for (const [name, input] of inputs) {
      const adapter = at(view.adapters, input.slot);
      const gate = at(view.gates, input.slot);
      if (input.kind !== "tensor") {
        feeds[name] = scaleFeed(input.kind === "scale" ? adapter.scale(input.path) : 1, gate);
        continue;
      }
      const base = gate === 0 ? replacedBy(adapter, input.key) : undefined;
      const stored = base === undefined ? tensorName(adapter, input.key) : baseName(base);
      const version = base === undefined ? adapter.state.version : 0;
      const called = view.versions?.[input.slot];
      if (base === undefined && called !== undefined && called !== version) throw changedTensors(adapter);
      feeds[name] = { held: stored };
      if (this.#sent.get(stored) === version) continue;
      const { shape, data } = adapter.entry(input.key);
      changed[stored] = {
        dtype: "f32",
        shape,
        data: base === undefined ? data : await this.#baseWeight(base),
      };
      versions.set(stored, version);
    }
    if (versions.size === 0) return feeds;
    const put = engine.put(changed);
    for (const [stored, version] of versions) this.#sent.set(stored, version);
    await put;
    return feeds;
  }

  /** Forgets an adapter's tensors. Returns their names in the engine. */
  forget(adapter: Adapter): string[] {
    const names = [...this.#sent.keys()].filter((name) => name.startsWith(tensorName(adapter, "")));
    for (const name of names) this.#sent.delete(name);
    return names;
  }

  /** Says that a weight of the base changed. */
  forgetWeight(name: string): void {
    this.#sent.delete(baseName(name));
  }

  /** Says that the engine is another one. */
  clear(): void {
    this.#sent.clear();
  }
}

const tensorName = (adapter: Adapter, key: string): string => `${adapter.uid}:${key}`;
const baseName = (weight: string): string => `base:${weight}`;

/**
 * The weight of the base that an adapter has this tensor in place of; undefined: the tensor stands beside the
 * base.
 */
function replacedBy(adapter: Adapter, key: string): string | undefined {
  return [...adapter.replaced].findLast(([, own]) => own === key)?.[0];
}

function scaleFeed(scale: number, gate: number | Float32Array): HostTensor {
  if (typeof gate === "number") return { dtype: "f32", shape: [], data: Float32Array.of(scale * gate) };
  return { dtype: "f32", shape: [gate.length], data: gate.map((x) => x * scale) };
}

function changedTensors({ name }: Adapter): PeftError {
  return new PeftError("training", {
    what: `The tensors of the adapter "${name}" changed while a run that was called before used them.`,
    why: "its results would belong to neither the old nor the new ones.",
    fix: "await the run before changing tensors or calling zero() and updateAndAllocate(); an optimizer's step() waits by itself.",
  });
}
