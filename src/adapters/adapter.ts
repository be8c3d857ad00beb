import { elements } from "../engine/formats/format.js";
import { internal } from "../errors.js";
import { Parameters } from "../graph/parameters.js";
import type {
  AdapterConfig,
  AttentionPlace,
  Below,
  ExpertPlace,
  LayerPlace,
  Method,
  Place,
  SublayerPlace,
} from "../methods/method.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import { at } from "../present.js";
import type { Entry } from "./entry.js";
import type { AdaptedSite, BoundSite } from "./site.js";
import { AdapterState } from "./state.js";

/** Rows of an embedding or a head that are trained: their token ids and the entry that holds them. */
export interface TokenRows {
  readonly ids: readonly number[];
  readonly entry: string;
}

/** What an adapter is for, where that is another task than its base's. */
export interface AdapterTask {
  readonly task: TaskType;
  /** The base's config as that task reads it, with the labels of the adapter's own head. */
  readonly config: ModelConfig;
}

/** What an adapter is made of. */
export interface AdapterParts<C extends AdapterConfig = AdapterConfig> {
  readonly name: string;
  readonly method: Method<C> | undefined;
  readonly config: C;
  readonly entries: ReadonlyMap<string, Entry>;
  /** Its own task: a ranker on a model that writes; undefined: the base's. Its head is its own too. */
  readonly task: AdapterTask | undefined;
  /** @internal Adapted layers, by their paths. */
  readonly layers: ReadonlyMap<string, AdaptedSite<LayerPlace>>;
  /** @internal Adapted stacks of experts, by their parameters. */
  readonly stacks: ReadonlyMap<string, AdaptedSite<ExpertPlace>>;
  /** @internal */
  readonly sublayers: ReadonlyMap<string, AdaptedSite<SublayerPlace>>;
  /** @internal */
  readonly outputs: ReadonlyMap<string, AdaptedSite<Place & Below>>;
  /** @internal */
  readonly attentions: ReadonlyMap<string, AdaptedSite<AttentionPlace>>;
  /**
   * Weights of the base for which the adapter has tensors of its own (modules_to_save, trained biases) ->
   * their keys.
   */
  readonly replaced: ReadonlyMap<string, string>;
  /** Weights of modules that train whole (modules_to_save) -> the module's path. */
  readonly whole: ReadonlyMap<string, string>;
  /** Trained rows by the path of the module that uses them; modules that are tied share an entry. */
  readonly tokens: ReadonlyMap<string, TokenRows>;
  /** How a prompt is there: through its encoder, or as the rows that were saved; undefined: there is none. */
  readonly prompt: "encoder" | "stored" | undefined;
  /** Fields of adapter_config.json that were settled when the adapter met its model, by their names there. */
  readonly json: ReadonlyMap<string, unknown>;
  /** adapter_config.json as it was loaded: fields that we do not interpret are written back. */
  readonly loaded: LoadedJson | undefined;
}

/** A loaded adapter_config.json: its fields, and the names of those that are written as floats ("0.0"). */
export interface LoadedJson {
  readonly json: Readonly<Record<string, unknown>>;
  readonly floats: ReadonlySet<string>;
}

/**
 * An adapter on a model: its method, its config, the places where it stands and its tensors. It is frozen
 * when it has been attached (`draft.ts`): what changes while it is used is its `state`.
 */
export class Adapter<C extends AdapterConfig = AdapterConfig> implements AdapterParts<C> {
  readonly name: string;
  readonly method: Method<C> | undefined;
  readonly config: C;
  readonly entries: ReadonlyMap<string, Entry>;
  readonly task: AdapterTask | undefined;
  /** @internal */
  readonly layers: ReadonlyMap<string, AdaptedSite<LayerPlace>>;
  /** @internal */
  readonly stacks: ReadonlyMap<string, AdaptedSite<ExpertPlace>>;
  /** @internal */
  readonly sublayers: ReadonlyMap<string, AdaptedSite<SublayerPlace>>;
  /** @internal */
  readonly outputs: ReadonlyMap<string, AdaptedSite<Place & Below>>;
  /** @internal */
  readonly attentions: ReadonlyMap<string, AdaptedSite<AttentionPlace>>;
  readonly replaced: ReadonlyMap<string, string>;
  readonly whole: ReadonlyMap<string, string>;
  readonly tokens: ReadonlyMap<string, TokenRows>;
  readonly prompt: "encoder" | "stored" | undefined;
  readonly json: ReadonlyMap<string, unknown>;
  readonly loaded: LoadedJson | undefined;
  readonly uid: number;
  /** @internal All places where it stands. */
  readonly sites: ReadonlyMap<string, BoundSite>;
  /** What a compiled graph depends on: adapters of equal structure share graphs. */
  readonly structure: string;
  readonly state: AdapterState;

  constructor(parts: AdapterParts<C>) {
    this.name = parts.name;
    this.method = parts.method;
    this.config = parts.config;
    this.entries = parts.entries;
    this.task = parts.task;
    this.layers = parts.layers;
    this.stacks = parts.stacks;
    this.sublayers = parts.sublayers;
    this.outputs = parts.outputs;
    this.attentions = parts.attentions;
    this.replaced = parts.replaced;
    this.whole = parts.whole;
    this.tokens = parts.tokens;
    this.prompt = parts.prompt;
    this.json = parts.json;
    this.loaded = parts.loaded;
    this.uid = nextUid();
    this.sites = new Map<string, BoundSite>([
      ...parts.layers,
      ...parts.stacks,
      ...parts.sublayers,
      ...parts.outputs,
      ...parts.attentions,
    ]);
    this.structure = describe(this);
    this.state = new AdapterState(this.#trained());
    Object.freeze(this);
  }

  #trained(): ConstructorParameters<typeof AdapterState>[0] {
    const entries = trainedOf(this);
    const keys = new Set(
      [...this.layers].flatMap(([path, { specs }]) => specs.map(({ key }) => `${path}.${key}`)),
    );
    const ofLayers = entries.filter(({ key }) => keys.has(key));
    const { allocator } = this.method?.layers ?? {};
    const constrain = this.method?.layers?.constrain ?? this.method?.prompt?.constrain;
    return {
      entries,
      ofLayers: this.method?.prompt === undefined ? ofLayers : entries,
      allocator: allocator && ((tensors) => allocator(this.config, tensors)),
      constrain: constrain && ((tensors) => constrain(this.config, tensors)),
    };
  }

  /** Whether what it does is a change of the base's weights. */
  get isMergeable(): boolean {
    const sites = [...this.sites.values()];
    if (this.task !== undefined) return false;
    return this.method?.prompt === undefined && sites.every(({ merge }) => merge !== undefined);
  }

  /** Kinds of places where it stands, by the last part of their paths: q_proj, v_proj. */
  get targets(): readonly string[] {
    return [...new Set([...this.sites.keys()].map((path) => path.slice(path.lastIndexOf(".") + 1)))];
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

  /** The factor at a place where it stands: alpha / r and the like. */
  scale(path: string): number {
    return this.sites.get(path)?.scale ?? internal(`no site "${path}"`);
  }

  /** Whether all layers share a tensor: it stands under its key alone. */
  isShared(key: string): boolean {
    if ((this.method?.layers?.shared ?? this.method?.sublayers?.shared) === undefined) return false;
    const isOwn = [...this.sites.keys()].some((path) => key.startsWith(`${path}.`));
    return !isOwn && ![...this.replaced.values()].includes(key);
  }

  entry(key: string): Entry {
    return this.entries.get(key) ?? internal(`adapter "${this.name}" has no tensor "${key}"`);
  }
}

/** The name of an adapter's tensor among the trainable ones of several adapters. */
export function parameterName(adapters: readonly Adapter[], slot: number, key: string): string {
  return adapters.length === 1 ? key : `${at(adapters, slot).name}/${key}`;
}

/** The trainable tensors of adapters that train together, with one gradient. */
export function parametersOf(adapters: readonly Adapter[]): Parameters {
  if (adapters.length === 1) return at(adapters, 0).state.parameters;
  const all = new Parameters(
    adapters.flatMap((a, slot) =>
      trainedOf(a).map(({ key, shape, data }) => ({
        name: parameterName(adapters, slot, key),
        shape,
        data,
      })),
    ),
  );
  for (const adapter of adapters) adapter.state.trainedBy(all);
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
  const sites = [...a.sites.values()].map(({ path, structure = whole }) => `${path}:${structure}`);
  const prompt =
    a.method?.prompt === undefined ? "" : `${a.prompt}:${a.method.prompt.structure?.(a.config) ?? whole}`;
  const tensors = [...a.entries.values()].map(
    (e) => `${e.key}${e.copyOf === undefined ? "" : `=${e.copyOf}`}[${e.graphShape}]`,
  );
  const tokens = [...a.tokens].map(([path, rows]) => `${path}:${rows.entry}:${rows.ids}`);
  const replaced = [...a.replaced].map(([name, key]) => `${name}:${key}`);
  const task = a.task === undefined ? "" : `${a.task.task}:${a.task.config.numLabels}`;
  return [a.method?.config.peftType, task, prompt, sites, tensors, replaced, tokens].join(";");
}
