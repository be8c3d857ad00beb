import { elements } from "../engine/formats/format.js";
import { internal } from "../errors.js";
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
import type { AdapterParts, AdapterTask, LoadedJson, TokenRows } from "./adapter.js";
import { Adapter } from "./adapter.js";
import type { Entry, NewEntry } from "./entry.js";
import type { AdaptedSite } from "./site.js";

/** An adapter while it is put on a model: whoever attaches it adds its tensors and places, and freezes it. */
export class AdapterDraft<C extends AdapterConfig = AdapterConfig> implements AdapterParts<C> {
  readonly name: string;
  readonly method: Method<C> | undefined;
  readonly config: C;
  readonly entries: Map<string, Entry> = new Map();
  readonly layers: Map<string, AdaptedSite<LayerPlace>> = new Map();
  readonly stacks: Map<string, AdaptedSite<ExpertPlace>> = new Map();
  readonly sublayers: Map<string, AdaptedSite<SublayerPlace>> = new Map();
  readonly outputs: Map<string, AdaptedSite<Place & Below>> = new Map();
  readonly attentions: Map<string, AdaptedSite<AttentionPlace>> = new Map();
  readonly replaced: Map<string, string> = new Map();
  readonly whole: Map<string, string> = new Map();
  readonly tokens: Map<string, TokenRows> = new Map();
  readonly json: Map<string, unknown> = new Map();
  readonly task: AdapterTask | undefined;
  readonly loaded: LoadedJson | undefined;
  prompt: "encoder" | "stored" | undefined;
  /** Makers of values, in the order in which random numbers are drawn. */
  readonly #unmade: (() => void)[] = [];

  constructor(
    name: string,
    method: Method<C> | undefined,
    config: C,
    { file, task }: { file?: LoadedJson | undefined; task?: AdapterTask | undefined } = {},
  ) {
    this.name = name;
    this.method = method;
    this.config = config;
    this.loaded = file;
    this.task = task;
  }

  /** Adds a tensor; its values are made when they are asked for first, since counting needs none. */
  add(entry: NewEntry): void {
    const { key, savedKey, shape, graphShape = shape, frozen = false, dtype = "f32", data, fill } = entry;
    const { counted = true, sameAs } = entry;
    const source = sameAs === undefined ? undefined : this.entry(sameAs);
    let values = data;
    const make = (): Float32Array => {
      if (values !== undefined) return values;
      values = new Float32Array(elements(shape));
      fill?.(values);
      return values;
    };
    if (source === undefined) this.#unmade.push(make);
    const unmade = this.#unmade;
    this.entries.set(key, {
      key,
      savedKey,
      shape,
      graphShape,
      frozen,
      counted,
      dtype,
      copyOf: source?.copyOf ?? sameAs,
      get data() {
        if (source !== undefined) return source.data;
        if (values === undefined) for (const next of unmade.splice(0)) next();
        return make();
      },
    });
  }

  /** A tensor that files hold under another name as well. */
  addCopy(key: string, savedKey: string, sameAs: string): void {
    this.add({ key, savedKey, shape: this.entry(sameAs).shape, frozen: true, counted: false, sameAs });
  }

  /** Puts a bound method on its place, one of `sites`. It can stand there once. */
  stand<At>(sites: Map<string, AdaptedSite<At>>, site: AdaptedSite<At>): void {
    const { layers, stacks, sublayers, outputs, attentions } = this;
    const kinds: readonly ReadonlyMap<string, unknown>[] = [layers, stacks, sublayers, outputs, attentions];
    if (kinds.some((others) => others.has(site.path))) internal(`two places are named ${site.path}`);
    sites.set(site.path, site);
  }

  entry(key: string): Entry {
    return this.entries.get(key) ?? internal(`adapter "${this.name}" has no tensor "${key}"`);
  }

  freeze(): Adapter<C> {
    return new Adapter(this);
  }
}
