import type { View } from "../adapters/view.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { Feed, HostTensor } from "../engine/messages.js";
import { internal } from "../errors.js";
import type { PromptReads, RowSource, RowStepper, Stepper } from "../generate/stepper.js";
import type { Column, Input, Lengths } from "../graph/inputs.js";
import { counting } from "../graph/inputs.js";
import { textInputs } from "../models/text_inputs.js";
import { methodInputs, virtualOf } from "../plan/requests.js";
import { at } from "../present.js";
import { readInput } from "../trace/feeds.js";
import type { Named } from "../trace/inputs.js";
import {
  cachedShape,
  cachePlace,
  encodedRows,
  feedInput,
  inputOf,
  inputsOf,
  writerInputs,
} from "../trace/inputs.js";
import type { ModelSpec } from "../trace/write.js";
import { writeEncode, writeNext, writeStep } from "../trace/write_cached.js";
import type { HeldCaches, PlacedRow } from "./cached_rows.js";
import { CachedRows, copyOf, namesIn, rowOf } from "./cached_rows.js";
import type { StepRuntime } from "./fill_caches.js";
import { fillCaches } from "./fill_caches.js";
import {
  crossNames,
  feedColumn,
  heldFeeds,
  keptAs,
  noTypes,
  presentNames,
  repeatedRows,
  rowsOf,
} from "./step_feeds.js";

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

/**
 * One running batch on a model with caches of keys and values, which stay in the engine. Prompts of prompt
 * methods stand before the first step's input; a prefix is the cache that generation starts with. A prompt is
 * read once for all of its rows.
 */
export async function makeStepper(
  runtime: StepRuntime,
  view: View,
  prompt: PromptInput,
  expand: number,
): Promise<CachedStepper> {
  return new CachedStepper(runtime, view, prompt, expand);
}

/** The same for rows that come and go, each with a prompt of its own length. */
export function makeRowStepper(runtime: StepRuntime, view: View, prompt: PromptInput): CachedStepper {
  return new CachedStepper(runtime, view, prompt, 1, true);
}

/** Prompts that were read, in this order. */
interface CachedReads extends PromptReads {
  readonly rows: readonly PlacedRow[];
  readonly caches: HeldCaches;
}

export class CachedStepper implements Stepper, RowStepper<CachedReads> {
  readonly vocabSize: number;
  readonly #runtime: StepRuntime;
  readonly #view: View;
  readonly #prompt: PromptInput;
  readonly #expand: number;
  /** Prompts are read without the padding that makes them of one length. */
  readonly #isRagged: boolean;
  readonly #held: Set<string> = new Set();
  readonly #at: string;
  readonly #rows: CachedRows;
  /** Tokens that the encoder has seen, virtual ones included. */
  #encoded = 0;

  constructor(runtime: StepRuntime, view: View, prompt: PromptInput, expand: number, isRagged = false) {
    this.#runtime = runtime;
    this.#view = view;
    this.#prompt = prompt;
    this.#expand = expand;
    this.#isRagged = isRagged;
    this.#at = `cache${runtime.unique()}`;
    this.#rows = new CachedRows(runtime, this.#config.cache, this.#at);
    this.vocabSize = this.#config.vocabSize;
    this.#hold(this.#rows.caches.names);
  }

  get #config(): ModelSpec["config"] {
    return this.#runtime.weights.spec.config;
  }

  async start(): Promise<Float32Array> {
    const prompts = [...(this.#prompt.start ?? this.#prompt.ids).keys()];
    const all = prompts.flatMap((prompt) => new Array<number>(this.#expand).fill(prompt));
    const { encoderDecoder } = this.#config;
    if (encoderDecoder) await this.#encode(prompts);
    const read = await this.read(encoderDecoder ? all : prompts);
    const index = (row: number): number => (encoderDecoder ? row : Math.floor(row / this.#expand));
    await this.#lay(all.map((_, row) => ({ read, index: index(row) })));
    await this.forget(read);
    return encoderDecoder ? read.scores : repeatedRows(read.scores, this.vocabSize, this.#expand);
  }

  /** Reads prompts, which rows may then go on from until they are forgotten. */
  async read(prompts: readonly number[]): Promise<CachedReads> {
    const virtual = virtualOf(this.#view);
    const { ids, mask, start } = this.#prompt;
    const own = this.#config.encoderDecoder
      ? prompts.map((prompt) => at(start ?? internal("generation without start tokens"), prompt))
      : prompts.map((prompt) =>
          this.#isRagged ? withoutPadding(at(ids, prompt), at(mask, prompt)) : at(ids, prompt),
        );
    const longest = Math.max(...own.map(({ length }) => length));
    const padded = (row: readonly number[]): number[] => [
      ...new Array<number>(longest - row.length).fill(0),
      ...row,
    ];
    const input = this.#config.encoderDecoder ? 0 : virtual.input;
    const before = new Array<number>(virtual.cache + input).fill(1);
    const masks = this.#config.encoderDecoder
      ? own.map((row) => row.map(() => 1))
      : prompts.map((prompt, i) => padded(at(mask, prompt).slice(-at(own, i).length)));
    const seen = masks.map((row) => [...before, ...row]);
    return this.#read(prompts, own.map(padded), seen, input, virtual.cache);
  }

  /** Releases what was read. */
  async forget({ caches }: CachedReads): Promise<void> {
    for (const name of caches.names) this.#held.delete(name);
    await this.#runtime.release(caches.names);
  }

  async next(tokens: Int32Array, order?: Int32Array): Promise<Float32Array> {
    return this.continue(tokens, order === undefined ? undefined : Array.from(order, (row) => ({ row })));
  }

  /** Feeds one token to each row; rows that are no source of another are given up. */
  async continue(tokens: Int32Array, sources?: readonly RowSource<CachedReads>[]): Promise<Float32Array> {
    const rows = this.#rows;
    const isSame =
      sources === undefined ||
      (sources.length === rows.rows.length && sources.every((from, i) => "row" in from && from.row === i));
    if (!isSame) await this.#lay(sources);
    else if (rows.isFull) await rows.lay(rows.placed);
    rows.push(tokens);
    return this.#isStale() ? this.#readAgain() : this.#next(tokens);
  }

  async end(): Promise<void> {
    await this.#runtime.release([...this.#held]);
    this.#held.clear();
  }

  #lay(sources: readonly RowSource<CachedReads>[]): Promise<void> {
    const { placed } = this.#rows;
    const copied = sources.map((from) => {
      const own = "row" in from ? at(placed, from.row) : at(from.read.rows, from.index);
      return { ...own, row: copyOf(own.row) };
    });
    return this.#rows.lay(copied);
  }

  /** The cache ends where the model begins to turn its keys otherwise: all tokens are read again. */
  #isStale(): boolean {
    const { restartAt } = this.#config;
    const { input, cache } = virtualOf(this.#view);
    if (restartAt === undefined || input + cache > 0) return false;
    return at(this.#rows.rows, 0).total === restartAt + 1;
  }

  async #readAgain(): Promise<Float32Array> {
    const { rows } = this.#rows;
    const masks = rows.map(({ mask, ids }) => [
      ...new Array<number>(ids.length - mask.length).fill(0),
      ...mask,
    ]);
    const ids = rows.map((row) => row.ids);
    const read = await this.#read(
      rows.map(({ prompt }) => prompt),
      ids,
      masks,
      0,
      0,
    );
    await this.#rows.lay(read.rows);
    await this.forget(read);
    return read.scores;
  }

  #hold(names: readonly string[]): void {
    for (const name of names) this.#held.add(name);
  }

  /** Reads tokens of rows at once. `masks` also has what stands before them: a prefix, and virtual tokens. */
  async #read(
    prompts: readonly number[],
    tokens: readonly (readonly number[])[],
    masks: readonly (readonly number[])[],
    virtual: number,
    prefix: number,
  ): Promise<CachedReads> {
    const { spec } = this.#runtime.weights;
    const { cache, encoderDecoder } = spec.config;
    const names = namesIn(cache, `${this.#at}.read${this.#runtime.unique()}`);
    this.#hold(names);
    const view = this.#viewOf(prompts);
    await fillCaches(this.#runtime, view, names, { rows: prompts.length, prefix });
    const [batch, length] = [prompts.length, at(tokens, 0).length];
    const { ids, mask, positions } = writerInputs(spec);
    const { outputs } = await this.#runtime.run({
      kind: "step",
      view,
      virtual: virtual > 0,
      write: (trace) => ({ outputs: writeStep(spec, trace) }),
      feeds: {
        ...feedInput(ids, Int32Array.from(tokens.flat()), [batch, length]),
        ...feedInput(mask, Int32Array.from(masks.flat()), [batch, at(masks, 0).length]),
        ...this.#positions(positions, masks, prefix, length),
        ...this.#ofMethods(prompts, { batch, length, virtual, past: prefix }),
        ...(encoderDecoder ? this.#encoderFeeds(prompts) : noTypes(batch, virtual + length)),
        ...heldFeeds(cache, names, batch, prefix),
      },
      keep: keptAs(cache, names),
    });
    const caches = { names, used: at(masks, 0).length };
    const rows = prompts.map((prompt, i) => rowOf(prompt, at(tokens, i), at(masks, i)));
    const placed = rows.map((row, index) => ({ row, caches, index }));
    return { scores: floatsOf(outputs, "logits").data, rows: placed, caches };
  }

  /** One token of each row, which is in the rows already. */
  async #next(tokens: Int32Array): Promise<Float32Array> {
    const { spec } = this.#runtime.weights;
    const { cache, encoderDecoder } = spec.config;
    const { rows, caches, room, mask: seen } = this.#rows;
    const prompts = rows.map(({ prompt }) => prompt);
    const batch = rows.length;
    const { ids, mask, positions } = writerInputs(spec);
    const place = new Int32Array(batch).fill(caches.used - 1);
    const { outputs } = await this.#runtime.run({
      kind: "next",
      view: this.#viewOf(prompts),
      virtual: false,
      long: false,
      write: (trace) => ({ outputs: writeNext(spec, trace) }),
      feeds: {
        ...feedInput(ids, tokens, [batch, 1]),
        ...feedInput(mask, seen, [batch, room]),
        ...feedInput(positions, this.#lastPositions(), [batch, 1]),
        ...feedInput(cachePlace, place, [batch]),
        ...this.#ofMethods(prompts, { batch, length: 1, virtual: 0, past: room - 1 }),
        ...(encoderDecoder ? this.#encoderFeeds(prompts) : noTypes(batch, 1)),
        ...heldFeeds(cache, caches.names, batch, room),
      },
      entries: Object.fromEntries(
        presentNames(cache).map((name, i) => [name, { held: at(caches.names, i), entry: caches.used - 1 }]),
      ),
    });
    return floatsOf(outputs, "logits").data;
  }

  /** Positions that count padding are those of training where there is none. */
  get padsPrompts(): boolean {
    return !this.#countsAll;
  }

  /** Where a prompt stood before the input, positions count everything, padding included. */
  get #countsAll(): boolean {
    return virtualOf(this.#view).input > 0 || this.#config.encoderDecoder;
  }

  /** Positions count real tokens, and a prefix. */
  #positions(
    input: Named,
    masks: readonly (readonly number[])[],
    prefix: number,
    length: number,
  ): Record<string, HostTensor> {
    const total = at(masks, 0).length;
    if (this.#countsAll) return feedColumn(input, counting(masks.length, prefix, total - prefix));
    const out = new Int32Array(masks.length * length);
    for (const [i, row] of masks.entries()) {
      let position = row.slice(0, total - length).reduce((a, b) => a + b, 0);
      for (let j = 0; j < length; j++) {
        position += at(row, total - length + j);
        out[i * length + j] = Math.max(0, position - 1);
      }
    }
    return feedInput(input, out, [masks.length, length]);
  }

  #lastPositions(): Int32Array {
    const all = this.#countsAll;
    return Int32Array.from(this.#rows.rows, ({ seen, total }) => (all ? total : seen) - 1);
  }

  /** The view with the gates of each row's prompt. */
  #viewOf(prompts: readonly number[]): View {
    const gates = this.#view.gates.map((gate) =>
      typeof gate === "number" ? gate : Float32Array.from(prompts, (prompt) => at(gate, prompt)),
    );
    return { ...this.#view, gates };
  }

  /** What methods read of each row's prompt. */
  #ofMethods(prompts: readonly number[], lengths: Lengths<number>): Record<string, HostTensor> {
    return this.#fed(methodInputs(this.#view.adapters), prompts, lengths);
  }

  /** What prompts have to be read, by name. */
  get #columns(): Readonly<Record<string, Column>> {
    const { ids, mask, columns = {} } = this.#prompt;
    if (ids.length === 0) return columns;
    const table = (rows: readonly (readonly number[])[]): Column => {
      return { data: Int32Array.from(rows.flat()), shape: [rows.length, at(rows, 0).length] };
    };
    return { [textInputs.ids.name]: table(ids), [textInputs.mask.name]: table(mask), ...columns };
  }

  /** Feeds of inputs from what each row's prompt has. */
  #fed(
    inputs: readonly Input[],
    prompts: readonly number[],
    lengths: Lengths<number>,
  ): Record<string, HostTensor> {
    if (inputs.length === 0) return {};
    const all = this.#columns;
    const feeds = inputs.map((input) => {
      const own = readInput(input, (name) => all[name], this.#config);
      const fed = input.feed(own && rowsOf(own, prompts), lengths);
      return fed === undefined ? {} : feedColumn(input, fed);
    });
    return Object.assign({}, ...feeds);
  }

  /** The encoder's mask for each row, and what cross-attention reads. */
  #encoderFeeds(prompts: readonly number[]): Record<string, Feed> {
    const { cache } = this.#config;
    const mask = inputOf(inputsOf(this.#runtime.weights.spec), "mask");
    const lengths = this.#encoderLengths(prompts.length);
    const feeds: Record<string, Feed> = this.#fed(mask === undefined ? [] : [mask], prompts, lengths);
    for (const [i, name] of crossNames(cache).entries())
      feeds[name] = {
        held: `${this.#at}.${name}`,
        shape: cachedShape(cache, i, prompts.length, this.#encoded),
      };
    return feeds;
  }

  /** Lengths of what the encoder reads. */
  #encoderLengths(batch: number): Lengths<number> {
    const { input } = virtualOf(this.#view);
    return { batch, length: this.#prompt.ids[0]?.length ?? 0, virtual: input, past: 0 };
  }

  async #encode(prompts: readonly number[]): Promise<void> {
    const { spec } = this.#runtime.weights;
    const lengths = this.#encoderLengths(prompts.length);
    this.#encoded = spec.config.encoded ?? lengths.virtual + lengths.length;
    const source = prompts.flatMap((_, i) => new Array<number>(this.#expand).fill(i));
    const names = crossNames(spec.config.cache);
    this.#hold(names.map((name) => `${this.#at}.${name}`));
    await this.#runtime.run({
      kind: "encode",
      view: this.#view,
      write: (trace) => ({ outputs: writeEncode(spec, trace) }),
      feeds: {
        ...this.#fed(Object.values(inputsOf(spec)), prompts, lengths),
        ...this.#ofMethods(prompts, lengths),
        ...feedInput(encodedRows, Int32Array.from(source), [source.length]),
      },
      keep: Object.fromEntries(names.map((name) => [name, `${this.#at}.${name}`])),
    });
  }
}

/** A row's tokens behind the padding in front. */
function withoutPadding(ids: readonly number[], mask: readonly number[]): readonly number[] {
  return ids.slice(Math.max(0, mask.indexOf(1)));
}
