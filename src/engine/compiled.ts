import { internal } from "../errors.js";
import type { Shape } from "../graph/dims.js";
import { evalDim } from "../graph/dims.js";
import { at } from "../present.js";
import { LARGE } from "./buffers.js";
import { createSession, ort } from "./devices/ort.js";
import { arenaBytes } from "./estimate/program.js";
import { elements } from "./formats/format.js";
import type { EngineOptions, NamedProgram } from "./messages.js";
import type { BindWeight } from "./onnx/lowering.js";
import { lower } from "./onnx/lowering.js";
import { namesByRows, weightsOf } from "./program.js";
import type { Dims } from "./region.js";
import { REQUEST, Region } from "./region.js";
import type { WeightStore } from "./weights/store.js";
import { fedWeight } from "./weights/store.js";

/**
 * Passes that would keep a second copy of a weight, in f32; the latter also fails on weights read inside a
 * Scan.
 */
const NO_COPIES = "ConstantFolding;FuseFp16InitializerToFp32NodeTransformer";

/** A result of a type that may be written to a buffer of ours. */
interface OwnResult {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: "f32" | "bool";
}

/** A program and what is known of it before it runs. */
export class CompiledProgram {
  readonly named: NamedProgram;
  /** Of its weights, those that are fed with every run by the model's names. */
  readonly held: readonly string[];
  readonly #results: readonly OwnResult[];
  readonly #byRows: ReadonlySet<string>;
  readonly #laidOut: boolean;
  /** Bytes of weights that are laid out anew. */
  readonly #copies: number;
  readonly #options: EngineOptions;
  readonly #store: WeightStore;
  #live: { readonly session: ort.InferenceSession; readonly region: Region } | undefined;

  /** `pooled`: large results go to buffers of ours. */
  constructor(named: NamedProgram, pooled: boolean, options: EngineOptions, store: WeightStore) {
    const { program, fed, forwardOnly } = named;
    const weights = fed === undefined ? weightsOf(program) : [];
    this.named = named;
    this.#options = options;
    this.#store = store;
    this.#byRows = namesByRows(program);
    this.#laidOut = forwardOnly && store.arePacked(weights);
    this.#copies = this.#laidOut ? store.bytesOf(weights) : 0;
    this.held = weights.filter((name) => !store.isMapped(name, this.#byRows.has(name)));
    this.#results = program.outputs.flatMap(({ name, node }) => {
      const { dtype, shape } = at(program.nodes, node);
      return pooled && (dtype === "f32" || dtype === "bool") ? [{ name, shape, dtype }] : [];
    });
  }

  /** Results that go to buffers of ours, where dimensions are these. */
  ownResults(dims: Dims): { name: string; dtype: "f32" | "bool"; shape: number[]; bytes: number }[] {
    return this.#results.flatMap(({ name, shape, dtype }) => {
      const sizes = shape.map((d) => evalDim(d, dims));
      const bytes = (dtype === "f32" ? 4 : 1) * elements(sizes);
      return bytes < LARGE ? [] : [{ name, dtype, shape: sizes, bytes }];
    });
  }

  /** Bytes that its session takes: its arena, and copies of weights. */
  get memory(): number {
    return this.#live === undefined ? 0 : this.#live.region.memory + this.#copies;
  }

  /**
   * A session whose arena is large enough for these dimensions, and what is fed for it to be so (see Region).
   * `makeRoom` is asked for the bytes that a new one takes, and told when one has grown.
   */
  async sessionFor(
    dims: Dims,
    makeRoom: (bytes: number) => Promise<void>,
  ): Promise<{ session: ort.InferenceSession; request: Record<string, ort.Tensor> }> {
    const before = this.memory;
    if (this.#live?.region.holds(dims)) {
      if (this.memory > before) await makeRoom(0);
      return { session: this.#live.session, request: this.#request(0) };
    }
    await this.release();
    const region = new Region(dims, (sizes) => this.#arenaBytes(sizes));
    await makeRoom(region.memory + this.#copies);
    const session = await this.#makeSession();
    this.#live = { session, region };
    return { session, request: this.#request(region.request) };
  }

  /** Other devices than the processor have memory of their own kind. */
  get #asks(): boolean {
    return this.#options.device === "cpu";
  }

  #request(bytes: number): Record<string, ort.Tensor> {
    if (!this.#asks) return {};
    return { [REQUEST]: new ort.Tensor("int64", BigInt64Array.of(BigInt(bytes / 4)), [1]) };
  }

  /** Gives back the session, with its arena. */
  async release(): Promise<void> {
    const live = this.#live;
    this.#live = undefined;
    await live?.session.release();
  }

  #arenaBytes(dims: Dims): number {
    const { program, fed } = this.named;
    const given = new Set(this.ownResults(dims).map(({ name }) => name));
    return arenaBytes(
      program,
      dims,
      (name) => {
        if (fed === undefined) return this.#store.useOf(name, this.#byRows.has(name));
        return { ...(fed[name] ?? internal(`weight "${name}" has no type`)), fed: true };
      },
      given,
    );
  }

  #makeSession(): Promise<ort.InferenceSession> {
    const { program, fed } = this.named;
    const bind: BindWeight = (o, n, shape) =>
      fed === undefined
        ? this.#store.named(o, n, shape, { laidOut: this.#laidOut, byRows: this.#byRows.has(n) })
        : fedWeight(o, n, shape, fed[n] ?? internal(`weight "${n}" has no type`));
    const model = lower(program, bind, { device: this.#options.device, asks: this.#asks });
    return createSession(model, {
      executionProviders: [this.#options.device],
      graphOptimizationLevel: "extended",
      intraOpNumThreads: this.#options.threads,
      interOpNumThreads: 1,
      enableMemPattern: false,
      extra: {
        session: {
          disable_prepacking: this.#laidOut ? "0" : "1",
          // waiting threads that spin gain 2 % on an idle machine, and lose 20 to 40 % where anything else
          // runs
          intra_op: { allow_spinning: "0" },
          model_external_initializers_file_folder_path: this.#store.root,
        },
        optimization: { disable_specified_optimizers: NO_COPIES },
      },
    });
  }
}
