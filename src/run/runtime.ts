import type { Adapter } from "../adapters/adapter.js";
import type { Compute, EngineSettings } from "../engine/engine.js";
import { computeOf, Engine } from "../engine/engine.js";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import type { Arrangement, HostTensor, RunResult, WeightSource, WeightType } from "../engine/messages.js";
import { OUT_OF_MEMORY } from "../engine/out_of_memory.js";
import { givenWeight } from "../engine/weights/source.js";
import { internal, PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import { isHalf } from "../halves.js";
import { isLong } from "../plan/long.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { MemoryEstimate, RunPurpose } from "../plan/memory/estimate.js";
import type { Plan, PlannedRun, RunRequest } from "../plan/plan.js";
import { planRun, programName } from "../plan/plan.js";
import type { PlanSettings, RunsToPlan } from "../plan/plan_chooser.js";
import { PlanChooser } from "../plan/plan_chooser.js";
import type { Names } from "../plan/planned.js";
import type { AdapterInputs, AdapterTensor } from "../trace/adapter_inputs.js";
import { headCopy } from "../weights/quantizable.js";
import type { Tie } from "../weights/tie.js";
import { tieOf, untied } from "../weights/tie.js";
import type { BoundWeights } from "../weights/weights.js";
import { AdapterFeeds } from "./adapter_feeds.js";
import { EncoderStates } from "./encoder_states.js";
import { runsToPlan } from "./runs_to_plan.js";
import { Turns } from "./turns.js";

/**
 * A program in the engine: the inputs that it reads, which of them are adapters', and which have a gradient.
 */
interface Compiled {
  readonly inputs: ReadonlySet<string>;
  readonly adapterInputs: AdapterInputs;
  readonly gradients: readonly (AdapterTensor & { readonly name: string })[];
}

export interface RuntimeSettings extends PlanSettings, Omit<EngineSettings, "resident" | "keep"> {
  /**
   * The format of linear layers of blocks (int8, int4, nf4), or of all matrices (f16, bf16): made once, into
   * a cache.
   * @default as the checkpoint has them, computed in f32
   */
  readonly load?: FormatName | undefined;
}

/** Weights of the base that were replaced, until they are restored. */
export interface Patch {
  readonly owner: object;
  /** Who changed them, in words. */
  readonly what: string;
  /** What they were before; undefined: the checkpoint's. */
  readonly before: ReadonlyMap<string, Float32Array | undefined>;
}

/**
 * A run's results; gradients by adapters' tensors, in the order of `gradients`, one after another in
 * `packed`.
 */
export interface RunOutcome extends RunResult {
  readonly gradients: readonly AdapterTensor[];
}

/**
 * A model's weights on an engine, and its compiled programs. One program serves every batch shape and all
 * adapters of one structure; adapters' tensors stay in the engine until they change.
 */
export class Runtime {
  readonly #bound: BoundWeights;
  readonly #tie: Tie | undefined;
  #untied: BoundWeights | undefined;
  readonly #settings: RuntimeSettings;
  readonly #compiled: Map<string, Compiled> = new Map();
  readonly #adapterFeeds: AdapterFeeds = new AdapterFeeds((name) => this.weight(name));
  readonly #names: Map<string, string> = new Map();
  readonly #overrides: Map<string, WeightSource> = new Map();
  /** What is patched at the moment, the last patch last. */
  readonly #patches: Patch[] = [];
  readonly #chooser: PlanChooser;
  /** Encoders' outputs that need not be computed again. */
  readonly encoderStates: EncoderStates = new EncoderStates();
  readonly #planNames: Names = {
    weightOf: (site) => this.#weightOf(site),
    typeOf: (weight) => this.#weightType(weight),
    program: (content) => this.#name(content),
  };
  /** Whose turn it is on this model. */
  readonly turns: Turns = new Turns();
  /** A training step had long sequences, or will have: all of them go in one way, and are one program. */
  #long = false;
  #engine: Promise<Engine> | undefined;
  #isClosed = false;
  #uid = 0;

  constructor(weights: BoundWeights, settings: RuntimeSettings) {
    this.#bound = weights;
    this.#tie = tieOf(weights.inventory);
    this.#settings = settings;
    this.#chooser = new PlanChooser(weights, settings);
  }

  /** The model as it is now: a change may have given a tied head a weight of its own. */
  get weights(): BoundWeights {
    if (!this.isUntied || this.#tie === undefined) return this.#bound;
    this.#untied ??= untied(this.#bound, this.#tie);
    return this.#untied;
  }

  /** Whether the head was tied to the embedding, and is no more. */
  get isUntied(): boolean {
    return this.#tie !== undefined && this.#overrides.has(this.#tie.own);
  }

  /** The engine; another one where its worker died. Throws "engine" where the model was closed. */
  async engine(): Promise<Engine> {
    if (this.#isClosed) throw closedModel();
    const before = this.#engine;
    if ((await this.#live()) === undefined && this.#engine === before) this.#forgetEngine();
    const sources = new Map([...this.weights.sources, ...this.#overrides]);
    const { name, keep } = this.#chooser.plan;
    const { load } = this.#settings;
    const casts = name !== "fused" || isHalf(load);
    const resident = casts ? "stored" : "f32";
    this.#engine ??= Engine.open(sources, { ...this.#settings, resident, keep });
    return this.#engine;
  }

  /** The engine, where it was started and has not died. */
  async #live(): Promise<Engine | undefined> {
    const engine = await this.#engine?.catch(() => undefined);
    return engine?.isClosed === false ? engine : undefined;
  }

  /** How many programs were compiled so far. */
  async compilations(): Promise<number> {
    return this.#engine === undefined ? 0 : (await this.#engine).compilations;
  }

  /** A number that no other caller of this runtime got: for names of things held in the engine. */
  unique(): number {
    return this.#uid++;
  }

  /** The base's weight as it is now: the checkpoint's, or what replaced it. */
  async weight(name: string): Promise<Float32Array> {
    const stored = name === this.#tie?.own && !this.isUntied ? this.#tie.embedding.weight : name;
    return this.#override(stored) ?? (await this.weights.readF32(stored));
  }

  #override(name: string): Float32Array | undefined {
    const data = this.#overrides.get(name)?.parts["data"];
    return data instanceof Float32Array ? data : undefined;
  }

  /** The format of 8 or 4 bits that the base's layers are held in, if any. */
  get quantized(): FormatName | undefined {
    const all = [...this.weights.sources.values()].map((source) => source.format);
    return all.find((format) => formats[format].pack !== undefined);
  }

  get patches(): readonly Patch[] {
    return this.#patches;
  }

  /** Replaces weights of the base until `restore`. */
  async patch(owner: object, what: string, changed: ReadonlyMap<string, Float32Array>): Promise<Patch> {
    const before = new Map([...changed.keys()].map((name) => [name, this.#override(name)]));
    const patch = { owner, what, before };
    this.#patches.push(patch);
    await this.#changeWeights(changed);
    return patch;
  }

  /** Takes a patch back. */
  async restore(patch: Patch): Promise<void> {
    this.keep(patch);
    await this.#changeWeights(patch.before);
  }

  /** A patch stays for good. */
  keep(patch: Patch): void {
    const at = this.#patches.indexOf(patch);
    if (at >= 0) this.#patches.splice(at, 1);
  }

  /** Releases what is stored in the engine of an adapter. */
  async forget(adapter: Adapter): Promise<void> {
    await this.release(this.#adapterFeeds.forget(adapter));
  }

  /** Replaces weights of the base, or restores the checkpoint's (undefined). */
  async #changeWeights(changed: ReadonlyMap<string, Float32Array | undefined>): Promise<void> {
    this.encoderStates.clear();
    const sources = new Map<string, WeightSource | undefined>();
    for (const [name, data] of changed) {
      const from = name === this.#tie?.own ? this.#tie.embedding.weight : name;
      const { shape } = this.#bound.sources.get(from) ?? internal(`no weight "${name}"`);
      if (data === undefined) this.#overrides.delete(name);
      else this.#overrides.set(name, givenWeight(shape, data));
      sources.set(name, this.#overrides.get(name) ?? this.#bound.sources.get(name));
      this.#adapterFeeds.forgetWeight(name);
    }
    if (sources.size > 0) await (await this.#live())?.changeWeights(sources);
  }

  /**
   * Throws "engine" where the engine fails; where memory was scarce, with the budget that a step of this
   * batch needs.
   */
  async run(request: RunRequest): Promise<RunOutcome> {
    try {
      return await this.#run(request);
    } catch (error) {
      const scarce = error instanceof PeftError && error.cause === OUT_OF_MEMORY;
      throw scarce ? this.#chooser.outOfMemory(error, request) : error;
    }
  }

  async #run(given: RunRequest): Promise<RunOutcome> {
    const request = given.sizes !== undefined && this.#long ? { ...given, long: true } : given;
    const { view } = request;
    const engine = await this.engine();
    const name = this.#name(programName(request));
    const compiled = await this.#compile(engine, name, request);
    const feeds = {
      ...(await this.#adapterFeeds.of(engine, view, compiled.adapterInputs)),
      ...request.feeds,
    };
    const missing = [...compiled.inputs].filter((input) => !(input in feeds));
    if (missing.length > 0 && request.isCustom) throw undeclared(missing);
    if (missing.length > 0) internal(`inputs without a value: ${missing}`);
    const used = Object.fromEntries(Object.entries(feeds).filter(([input]) => compiled.inputs.has(input)));
    const pack = compiled.gradients.map(({ name }) => `gradient:${name}`);
    const result = await engine.run(name, used, {
      keep: request.keep ?? {},
      entries: request.entries ?? {},
      pack,
      arenas: this.#chooser.arenas,
    });
    return { ...result, gradients: compiled.gradients };
  }

  /**
   * Plans the memory of runs with batches of these sizes: to be called with those of the longest batch,
   * before the first run. Where that takes another plan than before, programs are compiled again. Throws
   * "option" where training fits the budget by no plan.
   */
  planMemory(
    adapters: readonly Adapter[],
    sizes: BatchSizes,
    purpose: RunPurpose = "training",
  ): Promise<void> {
    const runs = runsToPlan(this.weights, adapters, sizes, purpose);
    return this.#chooser.covers(runs) ? Promise.resolve() : this.turns.alone(() => this.#planMemory(runs));
  }

  /** The same for a run that waits for it when its turn has come, and throws then what it threw. */
  planAhead(adapters: readonly Adapter[], sizes: BatchSizes, purpose: RunPurpose): Promise<void> {
    const planned = this.planMemory(adapters, sizes, purpose);
    planned.catch(() => undefined);
    return planned;
  }

  /**
   * The same for a step whose turn has come, where its batch is larger than any before, or its custom loss is
   * new.
   */
  async planStep(request: RunRequest): Promise<void> {
    const { view, sizes, isCustom } = request;
    if (sizes === undefined || view.adapters.length === 0) return;
    const runs = runsToPlan(this.weights, view.adapters, sizes, "training");
    await this.#planMemory(isCustom ? { ...runs, what: request.kind, requests: () => [request] } : runs);
  }

  async #planMemory(runs: RunsToPlan): Promise<void> {
    if (runs.isStep) this.#long ||= isLong(runs.sizes);
    const isOther = await this.#chooser.choose(runs);
    this.encoderStates.capacity = this.#chooser.unusedBudget / 2;
    if (isOther) await this.#stop();
  }

  /** What the chosen plan is expected to take, where one was chosen. */
  get memoryEstimate(): (MemoryEstimate & { readonly plan: Plan }) | undefined {
    return this.#chooser.estimate;
  }

  /** Where programs run, and on how many threads. */
  get compute(): Compute {
    return computeOf(this.#settings);
  }

  /** Bytes that steps may take, where that was said (`maxMemory`). */
  get memoryLimit(): number | undefined {
    return this.#chooser.limit;
  }

  /** Bytes that there are for steps: the limit, or what was free when the model was loaded. */
  get memoryFree(): number {
    return this.#chooser.budget;
  }

  async release(names: readonly string[]): Promise<void> {
    await (await this.#live())?.release(names);
  }

  /** Lays rows of held caches into new ones. */
  async arrange(arrangement: Arrangement): Promise<void> {
    await (await this.engine()).arrange(arrangement);
  }

  async put(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    await (await this.engine()).put(tensors);
  }

  /** Ends the engine: what runs or waits gets an error, and so does what is called from then on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#stop();
  }

  /** Ends the engine; the next run starts another one. */
  async #stop(): Promise<void> {
    const engine = await this.#live();
    this.#forgetEngine();
    await engine?.close();
  }

  /** All that the engine held is gone with it. */
  #forgetEngine(): void {
    this.#engine = undefined;
    this.#compiled.clear();
    this.#adapterFeeds.clear();
    this.encoderStates.clear();
  }

  #name(key: string): string {
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = `program${this.#names.size}`;
    this.#names.set(key, name);
    return name;
  }

  async #compile(engine: Engine, name: string, request: RunRequest): Promise<Compiled> {
    const known = this.#compiled.get(name);
    if (known !== undefined && engine.isCompiled(name)) return known;
    const { plan } = this.#chooser;
    const made = planRun(
      request,
      name,
      request.forceBlockwise ? { ...plan, name: "checkpointed" } : plan,
      this.#planNames,
    );
    await engine.prepare(name, () => made.schedule);
    const compiled = compiledFrom(made);
    this.#compiled.set(name, compiled);
    return compiled;
  }

  /** A tied head that is held apart has its own name; weights that replace the embedding replace it too. */
  #weightOf(site: LinearSite): string {
    const copy = headCopy(site);
    return this.weights.sources.has(copy) && !this.#overrides.has(site.weight) ? copy : site.weight;
  }

  #weightType(name: string): WeightType {
    const source = this.#overrides.get(name) ?? this.weights.sources.get(name);
    if (source === undefined) return internal(`no weight "${name}"`);
    return { format: source.format, transposed: source.transposed };
  }
}

function compiledFrom({ inputs, gradients, adapterInputs }: PlannedRun): Compiled {
  const tensorOf = (name: string): AdapterTensor => {
    const input = adapterInputs.get(name);
    return input?.kind === "tensor" ? input : internal(`the gradient of "${name}"`);
  };
  return {
    inputs,
    adapterInputs: new Map([...adapterInputs].filter(([name]) => inputs.has(name))),
    gradients: gradients.map((name) => ({ ...tensorOf(name), name })),
  };
}

function undeclared(names: readonly string[]): PeftError {
  return new PeftError("training", {
    what: `The loss reads the inputs ${names.join(", ")}, which nothing feeds.`,
    why: "only columns that a loss declares are fed from the batch.",
    fix: `declare them, and read them by column("${names[0]}"): columns: { ${names[0]}: { dtype: "f32", shape: ["batch"] } }.`,
  });
}

function closedModel(): PeftError {
  return new PeftError("engine", {
    what: "The model was closed.",
    why: "close() ended its engine, and nothing can be computed after that.",
    fix: "load it again, or close it later.",
  });
}
