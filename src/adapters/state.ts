import { internal } from "../errors.js";
import { Parameters } from "../graph/parameters.js";
import type { Allocator, NamedTensor } from "../methods/method.js";
import type { Entry } from "./entry.js";

/** What of an adapter its state is about. */
interface Trained {
  /** The tensors that train, in a fixed order. */
  readonly entries: readonly Entry[];
  /** Those of them at layers: not whole modules, biases or tokens' rows. */
  readonly ofLayers: readonly Entry[];
  /** Makes what takes ranks away while the adapter trains; undefined: nothing does. */
  readonly allocator: ((tensors: readonly NamedTensor[]) => Allocator) | undefined;
  /** Moves tensors to where they may be; undefined: they may be anywhere. */
  readonly constrain: ((tensors: readonly NamedTensor[]) => void) | undefined;
}

/**
 * What changes of an adapter while it is used: its tensors' version and gradient, who trains them, which runs
 * read them.
 */
export class AdapterState {
  readonly #trained: Trained;
  /** Fields of adapter_config.json that training settled, by their names there. */
  readonly json: Map<string, unknown> = new Map();
  /**
   * Fields of config.json that name the classes of a head that the adapter brings; undefined: the base's
   * config.json does.
   */
  classes: Readonly<Record<string, unknown>> | undefined;
  #parameters: Parameters | undefined;
  #allocator: Allocator | undefined;
  #version = 0;
  readonly #trainers: Parameters[] = [];
  /** The end of all runs so far. */
  #used: Promise<unknown> = Promise.resolve();

  constructor(trained: Trained) {
    this.#trained = trained;
  }

  /** The trainable tensors, in a fixed order, with their gradient. */
  get parameters(): Parameters {
    if (this.#parameters === undefined) {
      this.#parameters = new Parameters(
        this.#trained.entries.map((e) => ({ name: e.key, shape: e.shape, data: e.data })),
      );
      this.#parameters.useFor(this.#used);
      if (this.#trained.allocator !== undefined) this.#parameters.keepGradient();
    }
    return this.#parameters;
  }

  /** What takes ranks away while it trains; undefined: nothing does. */
  get allocator(): Allocator | undefined {
    const { allocator, ofLayers } = this.#trained;
    this.#allocator ??= allocator?.(ofLayers);
    return this.#allocator;
  }

  /**
   * Says how many steps a training takes, to a method whose config may leave that open. Throws
   * "adapter-config" for too few.
   */
  planSteps(totalSteps: number): void {
    if (this.allocator !== undefined) this.json.set("total_step", this.allocator.plan(totalSteps));
  }

  /**
   * Takes ranks away after the optimizer's step number `step` (from 1) on `parameters`, by its gradient;
   * `nameOf`: what they call a tensor of this adapter. Methods without ranks do nothing.
   */
  allocate(step: number, parameters: Parameters, nameOf: (key: string) => string): void {
    const { allocator } = this;
    const { lastGradient } = parameters;
    if (allocator === undefined || lastGradient === undefined) return;
    const index = new Map(parameters.list.map(({ name }, i) => [name, i]));
    const graded = this.#trained.ofLayers.map(({ key, shape, data }) => {
      const i = index.get(nameOf(key)) ?? internal(`"${key}" is not among the parameters of the step`);
      return { key, shape, data, gradient: parameters.gradientOf(i, lastGradient) };
    });
    allocator.update(step, graded);
    this.touch();
  }

  /** Moves trained tensors to where their method lets them be, before a pass that trains them. */
  constrain(): void {
    this.#trained.constrain?.(this.#trained.ofLayers);
  }

  /** Grows whenever a tensor may have changed. */
  get version(): number {
    return this.#allParameters.reduce((n, { version }) => n + version, this.#version);
  }

  /** To be called after writing into an entry's data. */
  touch(): void {
    this.#version++;
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
}
