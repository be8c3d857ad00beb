// Over 400 lines: every kind of place where a method may stand, and what each gives it.

import type { Adapter } from "../adapters/adapter.js";
import type { AdaptedSite } from "../adapters/site.js";
import { internal } from "../errors.js";
import type { Dim, Shape } from "../graph/dims.js";
import { addDims, axes, dimAt, lengthAt, localDim } from "../graph/dims.js";
import { Graph, siteNumber } from "../graph/graph.js";
import type { Input, Lengths } from "../graph/inputs.js";
import type {
  AttentionSite,
  ConvSite,
  EmbeddingSite,
  ExpertSite,
  FrozenSite,
  Layout,
  LinearSite,
  Meeting,
  OutputSite,
  Project,
  Slots,
  SublayerSite,
  Trace,
} from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { isOp } from "../graph/ops.js";
import type { Below, Place } from "../methods/method.js";
import { decoderInputs, textInputs } from "../models/text_inputs.js";
import { at } from "../present.js";
import type { AdapterInput } from "./adapter_inputs.js";
import { adapterInputName } from "./adapter_inputs.js";
import { declare, declareCore, randomKey } from "./inputs.js";
import type { StackLayout } from "./layout.js";
import { packedLayout, paddedLayout, sameLayout } from "./layout.js";
import { declarePacking } from "./packing.js";

/** Where adapters of embeddings are, by its name in the library "adapters". */
const EMBEDDED = "invertible_adapters";

/** Inputs that are ids of tokens. */
const tokenNames: ReadonlySet<string> = new Set([textInputs.ids.name, decoderInputs.ids.name]);

/** What a traced model named: its layers and its weights, in the order of their first use. */
export interface Inventory {
  readonly linears: ReadonlyMap<string, LinearSite>;
  readonly embeddings: ReadonlyMap<string, EmbeddingSite>;
  readonly convs: ReadonlyMap<string, ConvSite>;
  /** Stacks of experts, and linear layers whose weights are parameters of other modules. */
  readonly stacks: ReadonlyMap<string, ExpertSite>;
  readonly bare: ReadonlyMap<string, LinearSite>;
  readonly attentions: ReadonlyMap<string, AttentionSite>;
  readonly sublayers: ReadonlyMap<string, SublayerSite>;
  readonly outputs: ReadonlyMap<string, OutputSite>;
  readonly weights: ReadonlyMap<string, readonly number[]>;
  /** What never trains, beside the weights. */
  readonly tables: ReadonlyMap<string, FrozenSite>;
  /** Paths of repeated parts: what lies below is fed block by block. */
  readonly blocks: readonly string[];
  /** How many positions a sequence can take; undefined: they have no end. */
  readonly positions: number | undefined;
}

/** How many parameters a model has, as Python counts them. */
export function countParameters({ weights, tables }: Inventory): number {
  const counted = [...tables.values()].filter(({ isParameter }) => isParameter);
  const shapes = [...weights.values(), ...counted.map(({ shape }) => shape)];
  return shapes.reduce((n, shape) => n + shape.reduce((a, b) => a * b, 1), 0);
}

export interface TraceOptions {
  /** Adapters in the order they are applied; each is a slot of the graph. */
  readonly adapters: readonly Adapter[];
  /** Rows of a batch have adapters of their own: scales are [batch] inputs. */
  readonly mixed: boolean;
  /** Dropout is on. */
  readonly training: boolean;
  /** How much noise tokens' embeddings get in training mode (NEFTune). */
  readonly neftune: number;
  /** Virtual tokens stand before the input embeddings (they do not in a step of generation with a cache). */
  readonly virtual: boolean;
  /** Padding is left out where the model works position by position. */
  readonly packed: boolean;
  /** Sequences are long: attention goes in chunks of queries, where it can. */
  readonly long: boolean;
  /**
   * The weight that a layer multiplies by: its own name for it where a tied head is held apart. Default: the
   * site's weight.
   */
  readonly weightOf?: ((site: LinearSite) => string) | undefined;
}

/**
 * Writes a model with adapters into a graph: the call that would emit a layer emits the adapted one. Scales
 * and gates are inputs, so switching, disabling and mixing need no other graph.
 */
export class ModelTrace implements Trace {
  readonly g: Graph = new Graph();
  readonly linears: Map<string, LinearSite> = new Map();
  readonly embeddings: Map<string, EmbeddingSite> = new Map();
  readonly convs: Map<string, ConvSite> = new Map();
  readonly stacks: Map<string, ExpertSite> = new Map();
  readonly bare: Map<string, LinearSite> = new Map();
  readonly attentions: Map<string, AttentionSite> = new Map();
  readonly sublayers: Map<string, SublayerSite> = new Map();
  readonly outputs: Map<string, OutputSite> = new Map();
  readonly weights: Map<string, readonly number[]> = new Map();
  readonly tables: Map<string, FrozenSite> = new Map();
  /** What the graph's inputs of adapters are, by their names. */
  readonly adapterInputs: Map<string, AdapterInput> = new Map();
  positions: number | undefined;
  /** The path of the stack whose embeddings methods may change; undefined: of none, in a decoder. */
  stack: string | undefined;
  /** Prompts that a decoder has of its own stand before its input: in passes over whole sequences. */
  promptsDecoder = false;
  /** Lengths of what the stack that is being written reads. */
  lengths: Lengths = { batch: "batch", length: "seq", virtual: 0, past: 0 };
  readonly options: TraceOptions;
  get blocks(): readonly string[] {
    return this.g.blocks.map((block) => block.name);
  }
  /** Per sample: keys of the random numbers of this step. */
  readonly randomKey: Tensor | undefined;
  readonly #dropouts: Map<string, number> = new Map();
  readonly padded: StackLayout;
  readonly same: Layout;

  constructor(options: TraceOptions) {
    this.options = options;
    this.randomKey = options.training ? declareCore(this.g, randomKey) : undefined;
    this.padded = paddedLayout(this.g, this.randomKey);
    this.same = sameLayout(this.g, this.randomKey);
  }

  /**
   * A weight of the base, or what an adapter has in its place; `own` is a tied module's own name for it,
   * `stored` the name that it is held under.
   */
  parameter(name: string, shape: readonly number[], own: string = name, stored: string = name): Tensor {
    this.weights.set(name, shape);
    for (const [slot, adapter] of this.options.adapters.entries()) {
      const key = adapter.replaced.get(own);
      if (key !== undefined) return this.entry(slot, key);
    }
    return this.g.weight(stored, shape);
  }

  inChunks(dropout: number): boolean {
    return this.options.long && (dropout === 0 || !this.options.training);
  }

  frozen(site: FrozenSite): Tensor {
    this.tables.set(site.name, site);
    if (site.positions !== undefined) this.positions = site.positions;
    return this.g.weight(site.name, site.shape);
  }

  entry(slot: number, key: string): Tensor {
    const { graphShape, copyOf } = at(this.options.adapters, slot).entry(key);
    if (copyOf !== undefined) return this.entry(slot, copyOf);
    const shape = graphShape.map((d) => (typeof d === "string" ? localDim(`slot${slot}`, d) : d));
    return this.#adapterInput({ kind: "tensor", slot, key }, shape);
  }

  /** A layer's factor times the gate: [], or [batch, 1, 1] where rows have adapters of their own. */
  scale(slot: number, path: string): Tensor {
    return this.#perRow({ kind: "scale", slot, path });
  }

  /** Whether a slot's adapter is on, in the same form. */
  gate(slot: number): Tensor {
    return this.#perRow({ kind: "gate", slot });
  }

  #perRow(input: AdapterInput): Tensor {
    if (!this.options.mixed) return this.#adapterInput(input, []);
    return this.g.reshape(this.#adapterInput(input, ["batch"]), ["batch", 1, 1]);
  }

  #adapterInput(input: AdapterInput, shape: Shape): Tensor {
    const name = adapterInputName(input);
    this.adapterInputs.set(name, input);
    return this.g.input(name, shape);
  }

  linear(site: LinearSite, x: Tensor, layout: Layout): Tensor {
    const { g } = this;
    (site.isBare === true ? this.bare : this.linears).set(site.path, site);
    const shape = site.transposed ? [site.inDim, site.outDim] : [site.outDim, site.inDim];
    const bias = site.bias === undefined ? undefined : this.parameter(site.bias, [site.outDim]);
    const stored = this.options.weightOf?.(site) ?? site.weight;
    const weight = this.parameter(site.weight, shape, `${site.path}.weight`, stored);
    const base = (x: Tensor): Tensor => {
      const y = this.#tokenLogits(site, x, g.linear(x, weight, site.transposed));
      return bias === undefined ? y : g.add(y, bias);
    };
    const own = { weight: () => g.weight(stored, shape), bias: () => bias };
    return this.#adapt((a) => a.layers, site.path, layout, own, base)(x);
  }

  conv(site: ConvSite, x: Tensor): Tensor {
    const { g } = this;
    this.convs.set(site.path, site);
    const { inChannels, outChannels, groups, kernel } = site;
    const shape = [outChannels, inChannels / groups, ...kernel];
    const named = site.bias === undefined ? undefined : this.parameter(site.bias, [outChannels]);
    const bias = named && g.reshape(named, [outChannels, ...kernel.map(() => 1)]);
    const weight = this.parameter(site.weight, shape);
    const base = (x: Tensor): Tensor => {
      const y = g.conv(x, weight, site);
      return bias === undefined ? y : g.add(y, bias);
    };
    const own = { weight: () => g.weight(site.weight, shape), bias: () => named };
    return this.#adapt((a) => a.layers, site.path, this.padded, own, base)(x);
  }

  experts(site: ExpertSite, x: Tensor, slots: Slots): Tensor {
    this.stacks.set(site.path, site);
    const { experts, inDim, outDim } = site;
    const shape = [experts, ...(site.transposed ? [inDim, outDim] : [outDim, inDim])];
    const weight = this.parameter(site.weight, shape);
    const base = (x: Tensor): Tensor => this.g.expertLinear(x, slots.starts, weight, site.transposed);
    return this.#adapt((a) => a.stacks, site.path, this.padded, { slots }, base)(x);
  }

  embedding(site: EmbeddingSite, ids: Tensor): Tensor {
    const { g } = this;
    this.embeddings.set(site.path, site);
    if (site.positions !== undefined) this.positions = site.positions;
    const shape = [site.vocab, site.dim];
    const table = this.parameter(site.weight, shape);
    const base = (ids: Tensor): Tensor => this.#tokenRows(site, ids, g.gather(table, ids));
    const own = { weight: () => g.weight(site.weight, shape), bias: () => undefined };
    return this.#noisy(site, ids, this.#adapt((a) => a.layers, site.path, this.padded, own, base)(ids));
  }

  /** NEFTune: tokens' embeddings x [batch, seq, dim] with uniform noise; those of positions, types stay. */
  #noisy({ path, dim }: EmbeddingSite, ids: Tensor, x: Tensor): Tensor {
    const { g, randomKey } = this;
    const isTokens = isOp(ids, "input") && tokenNames.has(ids.attrs.name);
    const { neftune, training } = this.options;
    if (neftune === 0 || !training || randomKey === undefined || !isTokens) return x;
    const unit = g.sub(g.mul(g.random(randomKey, siteNumber(`${path} noise`), x.shape), 2), 1);
    const size = g.sqrt(g.mul(g.size(dimAt(x.shape, 1)), dim));
    return g.add(x, g.mul(unit, g.div(g.scalar(neftune), size)));
  }

  embedded(x: Tensor, layout: Layout): Tensor {
    if (this.stack === undefined) return x;
    const path = this.stack === "" ? EMBEDDED : `${this.stack}.${EMBEDDED}`;
    return this.output(path, x, layout, true);
  }

  output(path: string, x: Tensor, layout: Layout, isEmbedded = false): Tensor {
    this.outputs.set(path, { path, dim: lengthAt(x.shape, -1), isEmbedded });
    return this.#adapt(
      (a) => a.outputs,
      path,
      layout,
      {},
      (x) => x,
    )(x);
  }

  sublayer(site: SublayerSite, h: Tensor, meeting: Meeting, layout: Layout): Tensor {
    this.sublayers.set(site.path, site);
    const { sum, norm = (x: Tensor) => x } = meeting;
    return this.#adapt(
      (a) => a.sublayers,
      site.path,
      layout,
      meeting,
      (h) => norm(sum(h)),
      true,
    )(h);
  }

  attention(site: AttentionSite, q: Tensor, project: Project): Tensor | undefined {
    this.attentions.set(site.path, site);
    let total: Tensor | undefined;
    for (const [slot, { attentions }] of this.options.adapters.entries()) {
      const own = attentions.get(site.path)?.forward({ ...this.place(slot, site.path), project }, q);
      if (own !== undefined) total = total === undefined ? own : this.g.add(total, own);
    }
    return total;
  }

  dropout(path: string, x: Tensor, p: number, layout: Layout): Tensor {
    const count = this.#dropouts.get(path) ?? 0;
    this.#dropouts.set(path, count + 1);
    return layout.dropout(x, p, `${path}#${count}`);
  }

  /**
   * How a stack's sequences of this length lie: packed, where padding is left out; `of` is the input that has
   * their tokens.
   */
  layout(of: Pick<Input, "name">, length: Dim): StackLayout {
    const { packed, training } = this.options;
    return packed ? packedLayout(this.g, declarePacking(this.g, of, length), training) : this.padded;
  }

  prepend(x: Tensor): Tensor {
    if (!this.options.virtual) return x;
    const { g } = this;
    let out = x;
    for (const [slot, { method, config }] of this.options.adapters.entries()) {
      const prompt = method?.prompt;
      if (prompt === undefined || prompt.place !== "input") continue;
      const isDecoder = this.stack === undefined;
      const own = isDecoder && this.promptsDecoder ? (prompt.decoderTokens?.(config) ?? 0) : 0;
      const [first, end] = isDecoder
        ? [prompt.tokens(config), prompt.tokens(config) + own]
        : [0, prompt.tokens(config)];
      if (end > first)
        out = g.concat([g.slice(this.#promptOfRows(slot, dimAt(out.shape, 0)), 1, first, end), out], 1);
    }
    return out;
  }

  /** The prompt of a slot for each row of a batch, [batch, rows, dim]. */
  #promptOfRows(slot: number, batch: Dim): Tensor {
    const { g } = this;
    const { method, config } = at(this.options.adapters, slot);
    const rows = this.#prompt(slot) ?? internal("a prompt without rows");
    const perRow = method?.prompt?.perRow;
    if (perRow !== undefined) {
      const p = (key: string): Tensor => this.entry(slot, `prompt_encoder.${key}`);
      return perRow({ g, p, input: (name) => this.#methodInput(slot, name) }, rows, config);
    }
    const [count, dim] = axes(rows.shape, 2);
    return g.expand(g.reshape(rows, [1, count, dim]), [batch, count, dim]);
  }

  /** An input that the method of a slot reads of the batch. */
  #methodInput(slot: number, name: string): Tensor {
    const { method, config } = at(this.options.adapters, slot);
    const input = method?.inputs?.(config)[name] ?? internal(`${method?.name} has no input "${name}"`);
    return declare(this.g, input, this.lengths);
  }

  /**
   * The prompt of a slot, [tokens, dim], without the rows of further submodules; undefined: no prompt method.
   */
  promptRows(slot: number): Tensor | undefined {
    const { method, config } = at(this.options.adapters, slot);
    const rows = this.#prompt(slot);
    return rows && this.g.slice(rows, 0, 0, method?.prompt?.tokens(config) ?? 0);
  }

  #prompt(slot: number): Tensor | undefined {
    const adapter = at(this.options.adapters, slot);
    const prompt = adapter.method?.prompt;
    if (prompt === undefined) return undefined;
    let dropouts = 0;
    return adapter.prompt === "stored"
      ? this.entry(slot, "prompt_embeddings")
      : prompt.encode(
          this.g,
          (key) => this.entry(slot, `prompt_encoder.${key}`),
          adapter.config,
          (x, p) =>
            this.g.squeeze(this.same.dropout(this.g.unsqueeze(x, 0), p, `prompt/${slot}#${dropouts++}`), 0),
        );
  }

  /** Whether a head that is still to be written has an adapter that works on whole sequences. */
  get needsWholeHead(): boolean {
    return this.options.adapters.some(
      ({ method, config, layers }) =>
        method?.wholeRows?.(config) === true && [...layers.keys()].some((path) => !this.linears.has(path)),
    );
  }

  /** How many virtual tokens stand before the input, in the cache, and before a decoder's input. */
  virtualTokens(place: "input" | "cache" | "decoder"): Dim {
    return addDims(
      0,
      ...this.options.adapters.map(({ method, config }) => {
        if (place === "decoder") return method?.prompt?.decoderTokens?.(config) ?? 0;
        return method?.prompt?.place === place ? method.prompt.tokens(config) : 0;
      }),
    );
  }

  /**
   * What methods add to a mean loss, where they are on; undefined: nothing, as where rows have adapters of
   * their own.
   */
  penalty(): Tensor | undefined {
    let total: Tensor | undefined;
    for (const [slot, { method, layers: sites, config }] of this.options.adapters.entries()) {
      const penalty = method?.layers?.penalty;
      if (penalty === undefined || this.options.mixed) continue;
      const layers = [...sites.keys()].map((path) => (key: string) => this.entry(slot, `${path}.${key}`));
      const own = this.g.mul(penalty(this.g, layers, config), this.gate(slot));
      total = total === undefined ? own : this.g.add(total, own);
    }
    return total;
  }

  /**
   * `base` below the adapters that stand at a place, one over another; `own` is what this kind of place gives
   * them. `isFirstOver`: the first adapter is over the others, so that they change what goes in there in
   * their order.
   */
  #adapt<Own>(
    sitesOf: (adapter: Adapter) => ReadonlyMap<string, AdaptedSite<Place & Below & Own>>,
    path: string,
    layout: Layout,
    own: Own,
    base: (x: Tensor) => Tensor,
    isFirstOver = false,
  ): (x: Tensor) => Tensor {
    let next = base;
    const slots = [...this.options.adapters.entries()];
    for (const [slot, adapter] of isFirstOver ? slots.reverse() : slots) {
      const site = sitesOf(adapter).get(path);
      if (site === undefined) continue;
      const at = { ...this.place(slot, path, layout), ...own, next };
      next = (x) => site.forward(at, x);
    }
    return next;
  }

  /** What a place gives the method of a slot's adapter. */
  place(slot: number, path: string, layout: Layout = this.padded): Place {
    return {
      g: this.g,
      p: (key) => this.entry(slot, `${path}.${key}`),
      shared: (key) => this.entry(slot, key),
      scale: this.scale(slot, path),
      gate: this.gate(slot),
      dropout: (x, p) => layout.dropout(x, p, `${path}/${slot}`),
      isTraining: this.randomKey !== undefined,
      draw: (name, shape) => {
        if (this.randomKey === undefined) return undefined;
        const key = this.g.slice(this.randomKey, 0, 0, 1);
        return this.g.squeeze(this.g.random(key, siteNumber(`${path}/${slot}/${name}`), [1, ...shape]), 0);
      },
      normal: (x) => normal(this.g, (part) => layout.random(x, `${path}/${slot}${part}`)),
      input: (name) => this.#methodInput(slot, name),
      drawRows: (name, shape) =>
        this.randomKey && this.g.random(this.randomKey, siteNumber(`${path}/${slot}/${name}`), shape),
    };
  }

  /** Replaces the rows of trained tokens: out + [id is token k] (delta_k - out). */
  #tokenRows(site: EmbeddingSite, ids: Tensor, out: Tensor): Tensor {
    const { g } = this;
    let rows = out;
    for (const [slot, adapter] of this.options.adapters.entries()) {
      const tokens = adapter.tokens.get(site.path);
      if (tokens === undefined) continue;
      const wanted = g.constant(tokens.ids, [tokens.ids.length], "i64");
      const hit = g.cast(g.equal(g.unsqueeze(ids, -1), wanted), "f32"); // [batch, seq, tokens]
      const gate = this.gate(slot);
      const replaced = g.matmul(hit, this.entry(slot, tokens.entry));
      const any = g.sum(hit, -1, true);
      rows = g.add(rows, g.mul(gate, g.sub(replaced, g.mul(any, rows))));
    }
    return rows;
  }

  /** The logits of trained tokens come from their rows of the head: y[id of token k] = x delta_k. */
  #tokenLogits(site: LinearSite, x: Tensor, y: Tensor): Tensor {
    const { g } = this;
    let logits = y;
    for (const [slot, adapter] of this.options.adapters.entries()) {
      const tokens = adapter.tokens.get(site.path);
      if (tokens === undefined) continue;
      const own = g.linear(x, this.entry(slot, tokens.entry)); // [..., tokens]
      const ids = g.constant(tokens.ids, [tokens.ids.length], "i64");
      const change = g.mul(this.gate(slot), g.sub(own, g.gather(logits, ids, -1)));
      logits = g.add(logits, g.scatterLast(change, g.expand(ids, change.shape), site.outDim));
    }
    return logits;
  }
}

/** Standard normal numbers of two uniform ones in [0, 1) (Box and Muller). */
function normal(g: Graph, uniform: (part: string) => Tensor | undefined): Tensor | undefined {
  const [u, v] = [uniform("~radius"), uniform("~angle")];
  if (u === undefined || v === undefined) return undefined;
  return g.mul(g.sqrt(g.mul(g.log(g.sub(1, u)), -2)), g.cos(g.mul(v, 2 * Math.PI)));
}
