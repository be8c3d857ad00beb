import { elements } from "../engine/formats/format.js";
import { internal } from "../errors.js";
import { Parameters } from "../graph/parameters.js";
import type {
  AdapterConfig,
  Allocator,
  AttentionPlace,
  Below,
  LayerPlace,
  Method,
  Place,
  SublayerPlace,
} from "../methods/method.js";
import type { AdaptedSite, BoundSite } from "./site.js";

/** One trainable tensor of an adapter. */
export interface Entry {
  /** Its name inside the adapter: "model.layers.0.self_attn.q_proj.lora_A.weight". */
  readonly key: string;
  /** Its name in adapter_model.safetensors; undefined: not saved there. */
  readonly savedKey: string | undefined;
  readonly shape: readonly number[];
  /** The shape in a graph, where free axes are names. */
  readonly graphShape: readonly (number | string)[];
  /** It is never trained. */
  readonly frozen: boolean;
  /** It is among the parameters that Python counts. */
  readonly counted: boolean;
  /** What it is saved as. */
  readonly dtype: "f32" | "i32";
  /** Its values are another tensor's: files may lack it. */
  readonly isCopy: boolean;
  /** Made when it is asked for first: counting needs none. */
  readonly data: Float32Array;
}

/** A tensor to be added: with its values, or with what fills in the first ones (default: zeros). */
export type NewEntry = Pick<Entry, "key" | "savedKey" | "shape"> & {
  readonly frozen?: boolean;
  readonly counted?: boolean;
  readonly dtype?: Entry["dtype"];
  readonly graphShape?: Entry["graphShape"];
  readonly data?: Float32Array;
  readonly fill?: (data: Float32Array) => void;
  /** The key of another tensor whose values it has. */
  readonly sameAs?: string;
};

/** Rows of an embedding or a head that are trained: their token ids and the entry that holds them. */
export interface TokenRows {
  readonly ids: readonly number[];
  readonly entry: string;
}

/**
 * An adapter on a model: its method, its config, the places where it stands and its tensors.
 * `replaced` names weights of the base for which the adapter has tensors of its own (modules_to_save, trained biases).
 */
export class Adapter<C extends AdapterConfig = AdapterConfig> {
  readonly name: string;
  readonly method: Method<C> | undefined;
  readonly config: C;
  readonly entries: Map<string, Entry> = new Map();
  /** Adapted layers, by their paths. */
  readonly layers: Map<string, AdaptedSite<LayerPlace>> = new Map();
  readonly sublayers: Map<string, AdaptedSite<SublayerPlace>> = new Map();
  readonly outputs: Map<string, AdaptedSite<Place & Below>> = new Map();
  readonly attentions: Map<string, AdaptedSite<AttentionPlace>> = new Map();
  readonly replaced: Map<string, string> = new Map();
  /** Weights of modules that train whole (modules_to_save) -> the module's path. */
  readonly whole: Map<string, string> = new Map();
  /** Trained rows by the path of the module that uses them; modules that are tied share an entry. */
  readonly tokens: Map<string, TokenRows> = new Map();
  /** How a prompt is there: through its encoder, or as the rows that were saved. */
  prompt: "encoder" | "stored" | undefined;
  /** adapter_config.json as it was loaded: fields that we do not interpret are written back. */
  loadedJson: Readonly<Record<string, unknown>> | undefined;
  loadedFloats: ReadonlySet<string> = new Set();
  /** Fields of adapter_config.json that were settled when the adapter met its model, by their names there. */
  readonly json: Map<string, unknown> = new Map();
  readonly uid: number;
  #structure: string | undefined;
  #parameters: Parameters | undefined;
  #allocator: Allocator | undefined;
  #version = 0;
  readonly #trainers: Parameters[] = [];
  /** The end of all runs so far. */
  #used: Promise<unknown> = Promise.resolve();
  /** Makers of values, in the order in which random numbers are drawn. */
  readonly #unmade: (() => void)[] = [];

  constructor(name: string, method: Method<C> | undefined, config: C) {
    this.name = name;
    this.method = method;
    this.config = config;
    this.uid = nextUid();
  }

  /** The trainable tensors, in a fixed order, with their gradient. */
  get parameters(): Parameters {
    if (this.#parameters === undefined) {
      this.#parameters = new Parameters(
        trainedOf(this).map((e) => ({ name: e.key, shape: e.shape, data: e.data })),
      );
      this.#parameters.useFor(this.#used);
      if (this.method?.layers?.allocator !== undefined) this.#parameters.keepGradient();
    }
    return this.#parameters;
  }

  /** Whether what it does is a change of the base's weights. */
  get isMergeable(): boolean {
    return this.method?.prompt === undefined && this.sites.every((site) => site.merge !== undefined);
  }

  /** What takes ranks away while it trains; undefined: nothing does. */
  get allocator(): Allocator | undefined {
    const make = this.method?.layers?.allocator;
    if (make !== undefined)
      this.#allocator ??= make(
        this.config,
        trainedOf(this).filter(({ key }) => this.#isOfSite(key)),
      );
    return this.#allocator;
  }

  /** Says how many steps a training takes, to a method whose config may leave that open. Throws "adapter-config" for too few. */
  planSteps(totalSteps: number): void {
    if (this.allocator !== undefined) this.json.set("total_step", this.allocator.plan(totalSteps));
  }

  /**
   * Takes ranks away after the optimizer's step number `step` (from 1) on `parameters`, by its gradient; `nameOf`: what they call a
   * tensor of this adapter. Methods without ranks do nothing.
   */
  allocate(step: number, parameters: Parameters, nameOf: (key: string) => string): void {
    const { allocator } = this;
    const { lastGradient } = parameters;
    if (allocator === undefined || lastGradient === undefined) return;
    const index = new Map(parameters.list.map(({ name }, i) => [name, i]));
    const graded = trainedOf(this)
      .filter(({ key }) => this.#isOfSite(key))
      .map(({ key, shape, data }) => {
        const i = index.get(nameOf(key)) ?? internal(`"${key}" is not among the parameters of the step`);
        return { key, shape, data, gradient: parameters.gradientOf(i, lastGradient) };
      });
    allocator.update(step, graded);
    this.touch();
  }

  /** Not a whole module's, a bias or a token's row. */
  #isOfSite(key: string): boolean {
    return this.layers.has(key.slice(0, key.lastIndexOf(".")));
  }

  /** All places where it stands. */
  get sites(): readonly BoundSite[] {
    const { layers, sublayers, outputs, attentions } = this;
    return [layers, sublayers, outputs, attentions].flatMap((sites) => [...sites.values()]);
  }

  /** How many numbers are trained. */
  get size(): number {
    return trainedOf(this).reduce((n, e) => n + elements(e.shape), 0);
  }

  /** Tensors beside the base's own: trained biases are the base's, in place. */
  get addedSize(): number {
    const added = [...this.entries.values()].filter((e) => e.counted);
    return added.reduce((n, e) => n + elements(e.shape), 0);
  }

  /** Grows whenever a tensor may have changed. */
  get version(): number {
    return this.#allParameters.reduce((n, { version }) => n + version, this.#version);
  }

  /** Says that these parameters hold tensors of this adapter, so that their steps count as changes. */
  trainedBy(parameters: Parameters): void {
    this.#trainers.push(parameters);
    parameters.useFor(this.#used);
  }

  /** Says that a run reads this adapter until it ends: changes wait for it. */
  useFor(run: Promise<unknown>): void {
    this.#used = Promise.allSettled([this.#used, run]).then(() => undefined);
    for (const parameters of this.#allParameters) parameters.useFor(run);
  }

  /** Changes of its tensors that are under way. */
  get changing(): readonly Promise<unknown>[] {
    return this.#allParameters.flatMap(({ changing }) => changing ?? []);
  }

  get #allParameters(): Parameters[] {
    return this.#parameters === undefined ? this.#trainers : [this.#parameters, ...this.#trainers];
  }

  /** To be called after writing into an entry's data. */
  touch(): void {
    this.#version++;
  }

  /** The factor at a place where it stands: alpha / r and the like. */
  scale(path: string): number {
    const { layers, sublayers, outputs, attentions } = this;
    const kinds: readonly ReadonlyMap<string, BoundSite>[] = [layers, sublayers, outputs, attentions];
    return kinds.find((sites) => sites.has(path))?.get(path)?.scale ?? internal(`no site "${path}"`);
  }

  add(entry: NewEntry): void {
    const { key, savedKey, shape, graphShape = shape, frozen = false, dtype = "f32", data, fill } = entry;
    const { counted = true, sameAs } = entry;
    let values = data;
    const make = (): void => {
      values = new Float32Array(elements(shape));
      fill?.(values);
    };
    if (values === undefined && sameAs === undefined) this.#unmade.push(make);
    const made = (): Float32Array => {
      if (sameAs !== undefined) return this.entry(sameAs).data;
      if (values === undefined) for (const next of this.#unmade.splice(0)) next();
      return values!;
    };
    this.entries.set(key, {
      key,
      savedKey,
      shape,
      graphShape,
      frozen,
      counted,
      dtype,
      isCopy: sameAs !== undefined,
      get data() {
        return made();
      },
    });
    this.#changed();
  }

  /** A tensor that files hold under another name as well. */
  addCopy(key: string, savedKey: string, sameAs: string): void {
    this.add({ key, savedKey, shape: this.entry(sameAs).shape, frozen: true, counted: false, sameAs });
  }

  /** Whether all layers share a tensor: it stands under its key alone. */
  isShared(key: string): boolean {
    return !key.includes(".") && this.method?.layers?.shared !== undefined;
  }

  entry(key: string): Entry {
    return this.entries.get(key) ?? internal(`adapter "${this.name}" has no tensor "${key}"`);
  }

  #changed(): void {
    this.#structure = undefined;
    this.#parameters = undefined;
    this.#version++;
  }

  /** What a compiled graph depends on: adapters of equal structure share graphs. */
  get structure(): string {
    this.#structure ??= describe(this);
    return this.#structure;
  }
}

/** The name of an adapter's tensor among the trainable ones of several adapters. */
export function parameterName(adapters: readonly Adapter[], slot: number, key: string): string {
  return adapters.length === 1 ? key : `${adapters[slot]!.name}/${key}`;
}

/** The trainable tensors of adapters that train together, with one gradient. */
export function parametersOf(adapters: readonly Adapter[]): Parameters {
  if (adapters.length === 1) return adapters[0]!.parameters;
  const all = new Parameters(
    adapters.flatMap((a, slot) =>
      trainedOf(a).map(({ key, shape, data }) => ({
        name: parameterName(adapters, slot, key),
        shape,
        data,
      })),
    ),
  );
  for (const adapter of adapters) adapter.trainedBy(all);
  if (adapters.some((a) => a.method?.layers?.allocator !== undefined)) all.keepGradient();
  return all;
}

function trainedOf({ entries }: Pick<Adapter, "entries">): Entry[] {
  return [...entries.values()].filter((e) => !e.frozen);
}

let uids = 0;
function nextUid(): number {
  return uids++;
}

function describe<C extends AdapterConfig>(a: Adapter<C>): string {
  const whole = JSON.stringify(a.config);
  const sites = a.sites.map(({ path, structure = whole }) => `${path}:${structure}`);
  const prompt =
    a.method?.prompt === undefined ? "" : `${a.prompt}:${a.method.prompt.structure?.(a.config) ?? whole}`;
  const tensors = [...a.entries.values()].map((e) => `${e.key}[${e.graphShape}]`);
  const tokens = [...a.tokens].map(([path, rows]) => `${path}:${rows.entry}:${rows.ids}`);
  const replaced = [...a.replaced].map(([name, key]) => `${name}:${key}`);
  return [a.method?.config.peftType, prompt, sites, tensors, replaced, tokens].join(";");
}
