import type { Adapter, Entry } from "../adapters/adapter.js";
import type { View } from "../adapters/view.js";
import type { EngineSettings } from "../engine/engine.js";
import { Engine } from "../engine/engine.js";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import type { Feed, HostTensor, RunResult, WeightSource, WeightType } from "../engine/messages.js";
import { OUT_OF_MEMORY } from "../engine/out_of_memory.js";
import { givenWeight } from "../engine/weights/source.js";
import { internal, PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import { isHalf } from "../halves.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { MemoryEstimate } from "../plan/memory/estimate.js";
import type { Plan, PlannedRun, RunRequest } from "../plan/plan.js";
import { planRun, programName } from "../plan/plan.js";
import type { PlanSettings } from "../plan/plan_chooser.js";
import { PlanChooser } from "../plan/plan_chooser.js";
import type { Names } from "../plan/planned.js";
import type { AdapterInputs, AdapterTensor } from "../trace/adapter_inputs.js";
import { headCopy } from "../weights/quantizable.js";
import type { Tie } from "../weights/tie.js";
import { tieOf, untied } from "../weights/tie.js";
import type { BoundWeights } from "../weights/weights.js";
import { EncoderStates } from "./encoder_states.js";
import { Turns } from "./turns.js";

/** A program in the engine: the inputs that it reads, which of them are adapters', and which have a gradient. */
interface Compiled {
  readonly inputs: ReadonlySet<string>;
  readonly adapterInputs: AdapterInputs;
  readonly gradients: readonly (AdapterTensor & { readonly name: string })[];
}

export interface RuntimeSettings extends PlanSettings, Omit<EngineSettings, "resident" | "keep"> {
  /**
   * How linear layers of blocks are held (int8, int4, nf4), or all matrices (f16, bf16): made once, into a cache. Default: as the
   * checkpoint has them, computed in f32.
   */
  readonly load?: FormatName | undefined;
}

/** A change of the base's weights that will be taken back. */
export interface Loan {
  readonly owner: object;
  /** Who changed them, in words. */
  readonly what: string;
  /** What they were before; undefined: the checkpoint's. */
  readonly before: ReadonlyMap<string, Float32Array | undefined>;
}

/** A run's results; gradients by adapters' tensors, in the order of `gradients`, one after another in `packed`. */
export interface RunOutcome extends RunResult {
  readonly gradients: readonly AdapterTensor[];
}

/**
 * A model's weights on an engine, and its compiled programs. One program serves every batch shape and all adapters of one
 * structure; adapters' tensors stay in the engine until they change.
 */
export class Runtime {
  readonly #bound: BoundWeights;
  readonly #tie: Tie | undefined;
  #untied: BoundWeights | undefined;
  readonly #settings: RuntimeSettings;
  readonly #compiled: Map<string, Compiled> = new Map();
  readonly #sent: Map<string, number> = new Map();
  readonly #names: Map<string, string> = new Map();
  readonly #overrides: Map<string, WeightSource> = new Map();
  /** Changes of weights that will be taken back, the last one first. */
  readonly #loans: Loan[] = [];
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

  /** Throws "engine" where the model was closed. */
  async engine(): Promise<Engine> {
    if (this.#isClosed) throw closedModel();
    const sources = new Map([...this.weights.sources, ...this.#overrides]);
    const { name, keep } = this.#chooser.plan;
    const { load } = this.#settings;
    const casts = name !== "fused" || isHalf(load);
    const resident = casts ? "stored" : "f32";
    this.#engine ??= Engine.open(sources, { ...this.#settings, resident, keep });
    return this.#engine;
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
    return this.#overrides.get(name)?.parts["data"] as Float32Array | undefined;
  }

  /** The format of 8 or 4 bits that the base's layers are held in, if any. */
  get quantized(): FormatName | undefined {
    const all = [...this.weights.sources.values()].map((source) => source.format);
    return all.find((format) => formats[format].pack !== undefined);
  }

  get loans(): readonly Loan[] {
    return this.#loans;
  }

  /** Changes weights of the base until `giveBack`. */
  async lend(owner: object, what: string, changed: ReadonlyMap<string, Float32Array>): Promise<Loan> {
    const before = new Map([...changed.keys()].map((name) => [name, this.#override(name)]));
    const loan = { owner, what, before };
    this.#loans.push(loan);
    await this.#changeWeights(changed);
    return loan;
  }

  async giveBack(loan: Loan): Promise<void> {
    this.keep(loan);
    await this.#changeWeights(loan.before);
  }

  /** A change stays for good. */
  keep(loan: Loan): void {
    const at = this.#loans.indexOf(loan);
    if (at >= 0) this.#loans.splice(at, 1);
  }

  /** Lets go of what the engine holds of an adapter. */
  async forget(adapter: Adapter): Promise<void> {
    const held = [...this.#sent.keys()].filter((name) => name.startsWith(`${adapter.uid}:`));
    for (const name of held) this.#sent.delete(name);
    await this.release(held);
  }

  /** Replaces weights of the base, or takes them back to the checkpoint's (undefined). */
  async #changeWeights(changed: ReadonlyMap<string, Float32Array | undefined>): Promise<void> {
    this.encoderStates.clear();
    const sources = new Map<string, WeightSource | undefined>();
    for (const [name, data] of changed) {
      const from = name === this.#tie?.own ? this.#tie.embedding.weight : name;
      const { shape } = this.#bound.sources.get(from) ?? internal(`no weight "${name}"`);
      if (data === undefined) this.#overrides.delete(name);
      else this.#overrides.set(name, givenWeight(shape, data));
      sources.set(name, this.#overrides.get(name) ?? this.#bound.sources.get(name));
      this.#sent.delete(baseHeld(name));
    }
    if (this.#engine !== undefined && sources.size > 0) await (await this.#engine).changeWeights(sources);
  }

  /** Throws "engine" where the engine fails; where memory was scarce, with the budget that a step of this batch needs. */
  async run(request: RunRequest): Promise<RunOutcome> {
    try {
      return await this.#run(request);
    } catch (error) {
      const scarce = error instanceof PeftError && error.cause === OUT_OF_MEMORY;
      throw scarce ? this.#chooser.outOfMemory(error, request) : error;
    }
  }

  async #run(request: RunRequest): Promise<RunOutcome> {
    const { view } = request;
    if (request.sizes !== undefined && view.adapters.length > 0)
      await this.#fit(view.adapters, request.sizes, request.isOwn ? request : undefined);
    const engine = await this.engine();
    const name = this.#name(programName(request));
    const compiled = await this.#compile(engine, name, request);
    const feeds = { ...(await this.#adapterFeeds(engine, view, compiled)), ...request.feeds };
    const missing = [...compiled.inputs].filter((input) => !(input in feeds));
    if (missing.length > 0 && request.isOwn) throw undeclared(missing);
    if (missing.length > 0) internal(`inputs without a value: ${missing}`);
    const used = Object.fromEntries(Object.entries(feeds).filter(([input]) => compiled.inputs.has(input)));
    const pack = compiled.gradients.map(({ name }) => `gradient:${name}`);
    const result = await engine.run(name, used, {
      keep: request.keep ?? {},
      pack,
      arenas: this.#chooser.arenas,
    });
    return { ...result, gradients: compiled.gradients };
  }

  /**
   * Makes sure that steps with batches of these sizes (`own`: as this one, with a loss of the user's) fit the budget: chooses the plan, or another than before, in which case programs
   * are compiled anew. Throws "option" where none fits.
   */
  fit(adapters: readonly Adapter[], sizes: BatchSizes): Promise<void> {
    return this.turns.alone(() => this.#fit(adapters, sizes));
  }

  async #fit(adapters: readonly Adapter[], sizes: BatchSizes, own?: RunRequest): Promise<void> {
    const isOther = this.#chooser.choose(adapters, sizes, own);
    this.encoderStates.capacity = this.#chooser.spare / 2;
    if (isOther) await this.#stop();
  }

  /** What the chosen plan is expected to take, where one was chosen. */
  get memoryEstimate(): (MemoryEstimate & { readonly plan: Plan }) | undefined {
    return this.#chooser.estimate;
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
    if (this.#engine !== undefined) await (await this.#engine).release(names);
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
    if (this.#engine !== undefined) await (await this.#engine).close();
    this.#engine = undefined;
    this.#compiled.clear();
    this.#sent.clear();
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
      request.apart ? { ...plan, name: "checkpointed" } : plan,
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

  async #baseEntry(name: string, { shape }: Entry): Promise<HostTensor> {
    return { dtype: "f32", shape, data: await this.weight(name) };
  }

  /** Feeds of the adapters' own inputs: tensors are sent where they changed, scales and gates with every run. */
  async #adapterFeeds(engine: Engine, view: View, compiled: Compiled): Promise<Record<string, Feed>> {
    const feeds: Record<string, Feed> = {};
    const changed: Record<string, HostTensor> = {};
    const versions = new Map<string, number>();
    for (const [input, of] of compiled.adapterInputs) {
      const adapter = view.adapters[of.slot]!;
      const gate = view.gates[of.slot]!;
      if (of.kind !== "tensor") {
        feeds[input] = scaleFeed(of.kind === "scale" ? adapter.scale(of.path) : 1, gate);
        continue;
      }
      const entry = adapter.entry(of.key);
      const base = gate === 0 ? replacedBy(adapter, of.key) : undefined;
      const held = base === undefined ? `${adapter.uid}:${of.key}` : baseHeld(base);
      const version = base === undefined ? adapter.version : 0;
      const called = view.versions?.[of.slot];
      if (base === undefined && called !== undefined && called !== version) throw changedTensors(adapter);
      feeds[input] = { held };
      if (this.#sent.get(held) === version) continue;
      changed[held] = base === undefined ? hostEntry(entry) : await this.#baseEntry(base, entry);
      versions.set(held, version);
    }
    if (versions.size === 0) return feeds;
    const put = engine.put(changed);
    for (const [held, version] of versions) this.#sent.set(held, version);
    await put;
    return feeds;
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

/** The weight of the base that an adapter has a tensor in place of; undefined: the tensor stands beside the base. */
function replacedBy(adapter: Adapter, key: string): string | undefined {
  let found: string | undefined;
  for (const [name, own] of adapter.replaced) if (own === key) found = name;
  return found;
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

function changedTensors({ name }: Adapter): PeftError {
  return new PeftError("training", {
    what: `The tensors of the adapter "${name}" changed while a run that was called before used them.`,
    why: "its results would belong to neither the old nor the new ones.",
    fix: "await the run before changing tensors or calling zero() and updateAndAllocate(); an optimizer's step() waits by itself.",
  });
}

/** The engine's name for a weight of the base that is fed in place of an adapter's tensor. */
const baseHeld = (name: string): string => `base:${name}`;

function hostEntry({ shape, data }: Entry): HostTensor {
  return { dtype: "f32", shape, data };
}

function scaleFeed(scale: number, gate: number | Float32Array): HostTensor {
  if (typeof gate === "number") return { dtype: "f32", shape: [], data: Float32Array.of(scale * gate) };
  return { dtype: "f32", shape: [gate.length], data: gate.map((x) => x * scale) };
}
