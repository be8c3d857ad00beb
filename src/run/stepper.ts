import type { View } from "../adapters/view.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { Feed, HostTensor, RunResult } from "../engine/messages.js";
import { internal } from "../errors.js";
import type { Stepper } from "../generate/stepper.js";
import type { Column, Input, Lengths } from "../graph/inputs.js";
import { counting, filled } from "../graph/inputs.js";
import type { CacheShape } from "../graph/module.js";
import { textInputs } from "../models/text_inputs.js";
import type { RunRequest } from "../plan/plan.js";
import { methodInputs, virtualOf } from "../plan/requests.js";
import { at } from "../present.js";
import { readInput } from "../trace/feeds.js";
import type { Named } from "../trace/inputs.js";
import {
  beamOrder,
  cachedShape,
  cacheNames,
  declareCore,
  encodedRows,
  feedInput,
  inputOf,
  inputsOf,
  prefixRows,
  writerInputs,
} from "../trace/inputs.js";
import { prefixCache } from "../trace/prefix.js";
import type { ModelSpec } from "../trace/write.js";
import { writeEncode, writeStep } from "../trace/write.js";

/** What generation reads: one row per prompt, all of one length. */
export interface PromptInput {
  /** Tokens; none, where an encoder reads something else. */
  readonly ids: readonly (readonly number[])[];
  readonly mask: readonly (readonly number[])[];
  /** Encoder-decoders: what the decoder starts with, row by row. */
  readonly start: readonly (readonly number[])[] | undefined;
  /** What else the encoder or methods read of a batch, by name; the first axis is the rows. */
  readonly columns?: Readonly<Record<string, Column>> | undefined;
}

/** What runs the steps: a Runtime. */
export interface StepRuntime {
  readonly weights: { readonly spec: ModelSpec };
  run(request: RunRequest): Promise<RunResult>;
  put(tensors: Readonly<Record<string, HostTensor>>): Promise<void>;
  release(names: readonly string[]): Promise<void>;
  /** A number that no other caller got. */
  unique(): number;
}

/**
 * One running batch on a model with caches of keys and values, which stay in the engine. Prompts of prompt
 * methods stand before the first step's input; a prefix is the cache that generation starts with.
 */
export async function makeStepper(
  runtime: StepRuntime,
  view: View,
  prompt: PromptInput,
  expand: number,
): Promise<Stepper> {
  return new CachedStepper(runtime, repeatGates(view, expand), prompt, expand);
}

function repeatGates(view: View, expand: number): View {
  const repeated = (gate: Float32Array): Float32Array =>
    Float32Array.from({ length: gate.length * expand }, (_, i) => at(gate, Math.floor(i / expand)));
  return { ...view, gates: view.gates.map((gate) => (typeof gate === "number" ? gate : repeated(gate))) };
}

class CachedStepper implements Stepper {
  readonly vocabSize: number;
  readonly #runtime: StepRuntime;
  readonly #view: View;
  readonly #prompt: PromptInput;
  readonly #expand: number;
  readonly #rows: number;
  readonly #held: Set<string> = new Set();
  readonly #at: string;
  /** Mask of everything seen so far, row by row: virtual tokens, prompt and new tokens. */
  #mask: number[][] = [];
  #past = 0;
  /** Tokens of each row, prompt and new ones. */
  #ids: number[][] = [];
  /** Tokens that the encoder has seen, virtual ones included. */
  #encoded = 0;

  constructor(runtime: StepRuntime, view: View, prompt: PromptInput, expand: number) {
    this.#runtime = runtime;
    this.#view = view;
    this.#prompt = prompt;
    this.#expand = expand;
    this.#rows = (prompt.start ?? prompt.ids).length * expand;
    this.#at = `cache${runtime.unique()}`;
    this.vocabSize = runtime.weights.spec.config.vocabSize;
  }

  async start(): Promise<Float32Array> {
    const { config } = this.#runtime.weights.spec;
    const virtual = virtualOf(this.#view);
    await this.#fillCache(virtual.cache);
    this.#past = virtual.cache;
    if (config.encoderDecoder) {
      await this.#encode(virtual.input);
      const start = this.#prompt.start ?? internal("generation without start tokens");
      this.#ids = this.#repeat(start);
      this.#mask = Array.from({ length: this.#rows }, () => new Array<number>(virtual.cache).fill(1));
      return this.#step(this.#ids, 0, undefined);
    }
    const before = new Array<number>(virtual.cache + virtual.input).fill(1);
    this.#mask = this.#repeat(this.#prompt.mask).map((row) => [...before, ...row]);
    this.#ids = this.#repeat(this.#prompt.ids);
    return this.#step(this.#ids, virtual.input, undefined, at(this.#ids, 0).length);
  }

  async next(tokens: Int32Array, order?: Int32Array): Promise<Float32Array> {
    const rows = Array.from(tokens, (token) => [token]);
    if (order !== undefined) this.#mask = Array.from(order, (from) => [...at(this.#mask, from)]);
    this.#ids = rows.map(([token = 0], i) => [...at(this.#ids, order?.[i] ?? i), token]);
    if (!this.#isStale()) return this.#step(rows, 0, order);
    await this.#fillCache(0);
    this.#past = 0;
    for (const row of this.#mask) row.push(1);
    return this.#step(this.#ids, 0, undefined, at(this.#ids, 0).length);
  }

  /** The cache ends where the model begins to turn its keys otherwise: all tokens are read again. */
  #isStale(): boolean {
    const { restartAt } = this.#runtime.weights.spec.config;
    const { input, cache } = virtualOf(this.#view);
    if (restartAt === undefined || input + cache > 0) return false;
    return this.#past <= restartAt && at(this.#ids, 0).length > restartAt;
  }

  async end(): Promise<void> {
    await this.#runtime.release([...this.#held]);
    this.#held.clear();
  }

  #repeat<T>(rows: readonly (readonly T[])[]): T[][] {
    return rows.flatMap((row) => Array.from({ length: this.#expand }, () => [...row]));
  }

  #hold(name: string): string {
    const held = `${this.#at}.${name}`;
    this.#held.add(held);
    return held;
  }

  /** Feeds `rows`; `counted` of them are in the mask already (the prompt). */
  async #step(
    rows: readonly (readonly number[])[],
    virtual: number,
    order: Int32Array | undefined,
    counted = 0,
  ): Promise<Float32Array> {
    const { spec } = this.#runtime.weights;
    const { cache, encoderDecoder } = spec.config;
    const length = at(rows, 0).length;
    if (counted === 0) for (const row of this.#mask) for (let i = 0; i < length; i++) row.push(1);
    const total = this.#past + virtual + length;
    const { ids, mask, positions } = writerInputs(spec);
    const feeds: Record<string, Feed> = {
      ...feedInput(ids, Int32Array.from(rows.flat()), [rows.length, length]),
      ...feedInput(mask, Int32Array.from(this.#mask.flat()), [rows.length, total]),
      ...this.#positions(positions, virtual, length),
      ...this.#ofMethods(this.#expand, { batch: rows.length, length, virtual, past: this.#past }),
      ...(encoderDecoder ? this.#encoderMask() : noTypes(rows.length, virtual + length)),
      ...(order === undefined ? {} : feedInput(beamOrder, order, [order.length])),
    };
    const cached = (names: readonly string[], tokens: number): void => {
      for (const [i, name] of names.entries())
        feeds[name] = { held: this.#hold(name), shape: cachedShape(cache, i, rows.length, tokens) };
    };
    cached(namesIn("past", cache), this.#past);
    if (encoderDecoder) cached(namesIn("cross", cache), this.#encoded);
    const stored = namesIn("past", cache).map((name) => this.#hold(name));
    const keep = Object.fromEntries(namesIn("present", cache).map((name, i) => [name, at(stored, i)]));
    const { outputs } = await this.#runtime.run({
      kind: order === undefined ? "step" : "step in order",
      view: this.#view,
      virtual: virtual > 0,
      write: (trace) => ({ outputs: writeStep(spec, trace, { reorder: order !== undefined }) }),
      feeds,
      keep,
    });
    this.#past = total;
    return floatsOf(outputs, "logits").data;
  }

  /**
   * Positions count real tokens (and a prefix). Where a prompt stood before the input they count everything,
   * padding included.
   */
  #positions(input: Named, virtual: number, length: number): Record<string, HostTensor> {
    const all = virtualOf(this.#view).input > 0 || this.#runtime.weights.spec.config.encoderDecoder;
    if (all) return feedColumn(input, counting(this.#rows, this.#past, virtual + length));
    const out = new Int32Array(this.#rows * length);
    for (const [i, row] of this.#mask.entries()) {
      let position = row.slice(0, row.length - length).reduce((a, b) => a + b, 0);
      for (let j = 0; j < length; j++) {
        position += at(row, row.length - length + j);
        out[i * length + j] = Math.max(0, position - 1);
      }
    }
    return feedInput(input, out, [this.#rows, length]);
  }

  /** What methods read of the prompts' rows, each `times` over. */
  #ofMethods(times: number, at: Lengths<number>): Record<string, HostTensor> {
    return this.#fed(methodInputs(this.#view.adapters), times, at);
  }

  /** The cache before the first token: empty, or a prefix. */
  async #fillCache(prefix: number): Promise<void> {
    const { config } = this.#runtime.weights.spec;
    const names = namesIn("past", config.cache);
    if (prefix === 0) {
      const empty = (i: number): HostTensor => {
        const shape = cachedShape(config.cache, i, this.#rows, 0);
        return { dtype: "f32", shape, data: new Float32Array(0) };
      };
      await this.#runtime.put(Object.fromEntries(names.map((name, i) => [this.#hold(name), empty(i)])));
      return;
    }
    await this.#runtime.run({
      kind: "prefix",
      view: this.#view,
      write: (trace) => {
        const rows = declareCore(trace.g, prefixRows);
        const cache = prefixCache(trace, config, rows) ?? internal("no prefix");
        const tensors = cache.flatMap(({ k, v }) => [k, v]);
        return { outputs: Object.fromEntries(names.map((name, i) => [name, at(tensors, i)])) };
      },
      feeds: feedInput(prefixRows, new Int32Array(this.#rows), [this.#rows]),
      keep: this.#holdAll(names),
    });
  }

  #holdAll(names: readonly string[]): Record<string, string> {
    return Object.fromEntries(names.map((name) => [name, this.#hold(name)]));
  }

  /** What the encoder reads, by name. */
  get #columns(): Readonly<Record<string, Column>> {
    const { ids, mask, columns = {} } = this.#prompt;
    if (ids.length === 0) return columns;
    const table = (rows: readonly (readonly number[])[]): Column => {
      return { data: Int32Array.from(rows.flat()), shape: [rows.length, at(rows, 0).length] };
    };
    return { [textInputs.ids.name]: table(ids), [textInputs.mask.name]: table(mask), ...columns };
  }

  /** Feeds of inputs from what the prompts have, each row `times` over. */
  #fed(inputs: readonly Input[], times: number, at: Lengths<number>): Record<string, HostTensor> {
    const all = this.#columns;
    const { config } = this.#runtime.weights.spec;
    const feeds = inputs.map((input) => {
      const own = readInput(input, (name) => all[name], config);
      const fed = input.feed(own && repeated(own, times), at);
      return fed === undefined ? {} : feedColumn(input, fed);
    });
    return Object.assign({}, ...feeds);
  }

  /** The encoder's mask, as the decoder reads it. */
  #encoderMask(): Record<string, HostTensor> {
    const mask = inputOf(inputsOf(this.#runtime.weights.spec), "mask");
    const virtual = virtualOf(this.#view).input;
    return this.#fed(mask === undefined ? [] : [mask], this.#expand, this.#lengths(this.#rows, virtual));
  }

  /** Lengths of what the encoder reads. */
  #lengths(batch: number, virtual: number): Lengths<number> {
    return { batch, length: this.#prompt.ids[0]?.length ?? 0, virtual, past: 0 };
  }

  async #encode(virtual: number): Promise<void> {
    const { spec } = this.#runtime.weights;
    const lengths = this.#lengths(this.#rows / this.#expand, virtual);
    this.#encoded = spec.config.encoded ?? virtual + lengths.length;
    const source = Array.from({ length: this.#rows }, (_, i) => Math.floor(i / this.#expand));
    const once = { ...this.#view, gates: this.#view.gates.map((gate) => everyNth(gate, this.#expand)) };
    await this.#runtime.run({
      kind: "encode",
      view: once,
      write: (trace) => ({ outputs: writeEncode(spec, trace) }),
      feeds: {
        ...this.#fed(Object.values(inputsOf(spec)), 1, lengths),
        ...this.#ofMethods(1, lengths),
        ...feedInput(encodedRows, Int32Array.from(source), [this.#rows]),
      },
      keep: this.#holdAll(namesIn("cross", spec.config.cache)),
    });
  }
}

/** A column with each of its rows so many times. */
function repeated({ data, shape }: Column, times: number): Column {
  const [rows = 0, ...rest] = shape;
  const width = rest.reduce((a, b) => a * b, 1);
  const out = new (data instanceof Float32Array ? Float32Array : Int32Array)(data.length * times);
  for (let i = 0; i < rows * times; i++) {
    const from = Math.floor(i / times) * width;
    out.set(data.subarray(from, from + width), i * width);
  }
  return { data: out, shape: [rows * times, ...rest] };
}

/** Token types of what is generated: all of the first. */
function noTypes(rows: number, length: number): Record<string, HostTensor> {
  return feedColumn(textInputs.typeIds, filled([rows, length], 0));
}

function feedColumn(input: Named, { data, shape }: Column): Record<string, HostTensor> {
  return feedInput(input, data, shape);
}

function namesIn(kind: "past" | "present" | "cross", cache: CacheShape): string[] {
  return cacheNames(kind, cache).flatMap(({ k, v }) => [k, v]);
}

function everyNth(gate: number | Float32Array, n: number): number | Float32Array {
  return typeof gate === "number" ? gate : gate.filter((_, i) => i % n === 0);
}
