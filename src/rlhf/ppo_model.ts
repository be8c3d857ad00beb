import { internal } from "../errors.js";
import type { Rollout } from "../generate/rollouts.js";
import type { Parameters } from "../graph/parameters.js";
import type { PeftModel } from "../peft/peft_model.js";
import type { StepResult, TrainableModel } from "../peft/trainable.js";
import { at } from "../present.js";
import type { Inputs } from "../trace/feeds.js";
import { type PpoLosses, type PpoOptions, type PpoParts, ppoLosses, ppoPass } from "./ppo.js";

type Model = TrainableModel<"CAUSAL_LM">;

/** A policy and a critic over one base, as one model that trains: a gradient is that of both losses. */
export class PolicyAndCritic implements Model {
  readonly taskType = "CAUSAL_LM" as const;
  readonly parts: PpoParts;
  readonly #model: PeftModel;
  readonly #names: readonly [policy: string, critic: string];
  readonly #losses: PpoLosses;
  /** What is known of the answers that are learnt: steps say it too. */
  metrics: Readonly<Record<string, number>> = {};

  /** The ranker that the critic begins as, until it has. */
  #ranker: string | undefined;

  constructor(
    model: PeftModel,
    { policy, critic, ranker }: { policy: string; critic: string; ranker: string | undefined },
    options: PpoOptions,
  ) {
    this.#model = model;
    this.#ranker = ranker;
    this.#names = [policy, critic];
    this.#losses = ppoLosses(options);
    this.parts = { policy: { model, adapter: policy }, critic: { model, adapter: critic } };
  }

  /** The parameters of both, with one gradient and one optimizer. */
  trainableParameters(): Parameters {
    return this.#model.trainableParameters({ adapters: this.#names });
  }

  /** The mean of a batch's tokens counts as one, in both halves. */
  async forwardBackward(batch: Inputs<"CAUSAL_LM">): Promise<StepResult> {
    if (batch.inputIds === undefined) internal("a batch of answers without ids");
    const { loss, metrics } = await ppoPass(this.parts, batch, this.#losses);
    const whole = this.trainableParameters();
    let offset = 0;
    for (const name of this.#names) {
      const { gradient } = this.#part(name);
      for (const [i, x] of gradient.entries())
        whole.gradient[offset + i] = at(whole.gradient, offset + i) + x;
      offset += gradient.length;
      gradient.fill(0);
      this.#part(name).count = 0;
    }
    whole.count += 1;
    return { loss, count: 1, metrics: { ...this.metrics, ...metrics } };
  }

  #part(name: string): Parameters {
    return this.#model.trainableParameters({ adapters: [name] });
  }

  async saveInCheckpoint(folder: string): Promise<void> {
    await this.savePretrained(folder);
  }
  async savePretrained(folder: string): Promise<void> {
    await this.#model.savePretrained(folder, { selectedAdapters: this.#names });
  }

  get config(): Model["config"] {
    return this.#model.base.config;
  }
  get base(): Model["base"] {
    return this.#model.base;
  }
  get adapterConfig(): Model["adapterConfig"] {
    return this.#model.adapterConfig;
  }
  get trainedBy(): Model["trainedBy"] {
    return this.#model.trainedBy;
  }
  get adapterTargets(): readonly string[] {
    return this.#model.adapterTargets;
  }
  get maxPositions(): number {
    return this.#model.maxPositions;
  }
  get classNames(): undefined {
    return undefined;
  }
  nameClasses(): void {}
  planSteps(): void {}
  updateAndAllocate(): void {}
  allocationState(): readonly [] {
    return [];
  }
  /** A new critic begins as the ranker. */
  async ready(): Promise<void> {
    await this.#model.ready();
    const { adapters } = this.#model;
    const [from, critic] = [adapters.get(this.#ranker ?? ""), adapters.get(this.#names[1])];
    this.#ranker = undefined;
    if (from === undefined || critic === undefined) return;
    for (const [key, { data }] of from.entries) critic.entries.get(key)?.data.set(data);
    critic.state.touch();
  }
  getNbTrainableParameters(): { trainable: number; total: number } {
    const { total } = this.#model.getNbTrainableParameters();
    return { trainable: this.trainableParameters().size, total };
  }
  async planMemory(...sizes: CallOf<"planMemory">): Promise<void> {
    await this.#model.planMemory(...sizes);
  }
  async disableAdapter<R>(run: () => Promise<R>): Promise<R> {
    return await this.#model.disableAdapter(run);
  }
  forward(...call: CallOf<"forward">): ReturnType<Model["forward"]> {
    return this.#model.forward(...call);
  }
  lossOf(...call: CallOf<"lossOf">): ReturnType<Model["lossOf"]> {
    return this.#model.lossOf(...call);
  }
  logProbs(...call: CallOf<"logProbs">): ReturnType<Model["logProbs"]> {
    return this.#model.logProbs(...call);
  }
  generate(...call: CallOf<"generate">): ReturnType<Model["generate"]> {
    return this.#model.generate(...call);
  }
  rollouts(...call: CallOf<"rollouts">): Promise<Rollout[]> {
    return this.#model.rollouts(...call);
  }
}

type Arguments<F> = F extends (...call: infer A) => unknown ? A : never;
type CallOf<K extends keyof Model> = Arguments<Model[K]>;
