// Over 400 lines: the whole public class; what it does is to be taken apart into functions beside it.

import type { Adapter } from "../adapters/adapter.js";
import { parameterName, parametersOf } from "../adapters/adapter.js";
import { checkBias, checkName, checkTask, checkTogether, checkTrainable } from "../adapters/checks.js";
import type { WeightedOptions } from "../adapters/mix.js";
import { mixtureOf, weightedNames } from "../adapters/mix.js";
import type { View } from "../adapters/view.js";
import {
  type Chosen,
  choose,
  isBase,
  type RowAdapters,
  type ViewOptions,
  viewOf,
} from "../adapters/views.js";
import { expectArgument, expectName, pickOptions, refuseUnknown } from "../arguments.js";
import { hasEncoder, methodOf, readAdapterConfig, saveAdapter } from "../attach/adapter_files.js";
import { type LoadedKeys, loadAdapterTensors } from "../attach/adapter_tensors.js";
import type { Attached, AttachOptions } from "../attach/attach.js";
import { attach } from "../attach/attach.js";
import { attachFile } from "../attach/attach_file.js";
import { BaseChanges } from "../attach/base_changes.js";
import { type ClassFields, classNames, fieldsToSave, readClasses } from "../attach/class_names.js";
import { checked } from "../attach/merge.js";
import { PeftError } from "../errors.js";
import type { Parameter, Parameters } from "../graph/parameters.js";
import { nodeFiles } from "../hub/files.js";
import { resolveFolder } from "../hub/resolve.js";
import { hubSettings } from "../hub/settings.js";
import type { PushOptions } from "../hub/upload.js";
import { pushFolder, pushNames } from "../hub/upload.js";
import type { AdapterConfig } from "../methods/method.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { PassOptions } from "../plan/requests.js";
import { CallScope } from "../run/call_scope.js";
import type { ForwardResult } from "../run/passes.js";
import { backwardPass, forwardPass, lossPass } from "../run/passes.js";
import { taskOf } from "../tasks/registry.js";
import { type Inputs, rowsOf } from "../trace/feeds.js";
import { type Words, words } from "../words.js";
import {
  type AdapterOptions,
  adapterNames,
  backwardNames,
  hubNames,
  type LoadAdapterOptions,
  loadNames,
  type MergeOptions,
  mergeNames,
  rowNames,
  type SaveAdapterOptions,
  savedNames,
} from "./adapter_options.js";
import { PreTrainedModel } from "./base_model.js";
import { writePooling } from "./embedding_files.js";
import type { GenerateInput, GenerateSettings } from "./generate.js";
import { checkPrompt, generateWith } from "./generate.js";
import { checkHead } from "./head_size.js";
import { promptRows } from "./prompt_rows.js";
import { type SaveModelOptions, saveModel, savedNames as wholeNames } from "./save_model.js";
import { nothingTrains, type StepResult, type TrainableModel, type TrainOptions } from "./trainable.js";

/**
 * A base model with adapters on it: one or more active at a time, switched, disabled and mixed without another copy of the base.
 * Reference: peft/peft_model.py
 */
export class PeftModel<T extends TaskType = TaskType> implements TrainableModel<T> {
  /** The model under the adapters. */
  readonly base: PreTrainedModel<T>;
  /** The adapters by their names. */
  readonly adapters: Map<string, Adapter> = new Map();
  readonly #warn: (message: Words) => void;
  #active: string[] = [];
  /** Calls within disableAdapter(). */
  readonly #disabled: CallScope = new CallScope();
  /** What is still to be done before the next run: starting values from the base's weights, weights taken back. */
  #ready: Promise<void> = Promise.resolve();
  readonly #faults: unknown[] = [];
  /** Adapters that such work is for. */
  readonly #unready: Adapter[] = [];
  /** Adapters whose merge was called. */
  readonly #merging: Adapter[] = [];
  /** Adapters that are no more: a run that was called before cannot use them. */
  readonly #gone: WeakSet<Adapter> = new WeakSet();
  /** Names of adapters that are being loaded, and are not there yet. */
  readonly #reserved: Set<string> = new Set();
  readonly #changes: BaseChanges;
  /** Parameters of several adapters that train together, by their ids. */
  readonly #together: Map<string, Parameters> = new Map();

  /** @param warn hears what to know of adapters, where it is not what hears the base */
  constructor(base: PreTrainedModel<T>, warn: (message: Words) => void = base.warn) {
    this.base = base;
    this.#warn = warn;
    this.#changes = new BaseChanges(base.runtime);
  }

  /**
   * Loads an adapter from a folder or the Hub onto a base, and activates it. Reference: peft/peft_model.py, from_pretrained
   * @throws "adapter-mismatch" where it was made for another base, "unknown-method", "adapter-config", "file-format", "hub"
   * @example
   * ```ts
   * import { AutoModelForSeq2SeqLM, PeftModel } from "peft.js";
   *
   * const base = await AutoModelForSeq2SeqLM.fromPretrained("google/flan-t5-base");
   * await using model = await PeftModel.fromPretrained(base, "out");
   * ```
   */
  static async fromPretrained<T extends TaskType>(
    base: PreTrainedModel<T>,
    nameOrFolder: string,
    options: LoadAdapterOptions = {},
  ): Promise<PeftModel<T>> {
    expectBase("PeftModel.fromPretrained", base);
    const model = new PeftModel(base);
    const name = options.adapterName ?? "default";
    await model.loadAdapter(nameOrFolder, name, options);
    model.setAdapter(name);
    return model;
  }

  /** What the model is for. */
  get taskType(): T {
    return this.base.taskType;
  }
  /** The base's config.json as its architecture reads it. */
  get config(): ModelConfig {
    return this.base.config;
  }
  /** Names of the adapters that calls use where they say nothing. */
  get activeAdapters(): readonly string[] {
    return this.#active;
  }

  /** The active adapter, the first one of several. */
  get activeAdapter(): Adapter {
    return this.#activeAdapters()[0]!;
  }

  /** The config of the adapter that trains, the first one of several. */
  get adapterConfig(): AdapterConfig | undefined {
    return this.#trained()[0]?.config;
  }
  /** Kinds of places where that adapter stands, by the last part of their paths: q_proj, v_proj. */
  get adapterTargets(): readonly string[] {
    return this.#trained()[0]?.targets ?? [];
  }
  /** The base's positions less those that virtual tokens take. */
  get maxPositions(): number {
    const virtual = this.#trained().map(({ method, config }) => method?.prompt?.tokens(config) ?? 0);
    return this.base.maxPositions - virtual.reduce((a, b) => a + b, 0);
  }

  /** The active adapters; of a model without adapters none. */
  #trained(): readonly Adapter[] {
    return this.#active.map((name) => this.#adapter(name));
  }

  /**
   * Adds a new adapter; the first one becomes active. Reference: peft/peft_model.py, add_adapter
   * @throws "adapter-name" for one that is taken, "adapter-targets" where no layer matches, "adapter-config"
   * @example
   * ```ts
   * import { LoraConfig } from "peft.js";
   *
   * model.addAdapter("second", new LoraConfig({ r: 4, targetModules: ["q", "v"] }));
   * model.setAdapter("second");
   * ```
   */
  addAdapter(name: string, config: AdapterConfig, options: AdapterOptions = {}): void {
    refuseUnknown("addAdapter", options, adapterNames);
    expectArgument("addAdapter", config, {
      is: typeof config?.peftType === "string",
      wants: "a method's config",
      fix: "make one: new LoraConfig({ r: 8 }).",
    });
    const { tokenizer } = options;
    this.#add(name, config, {
      seed: options.seed ?? this.base.seed,
      tokenize: tokenizer === undefined ? undefined : (text) => tokenizer(text).inputIds[0] ?? [],
    });
  }

  #add(name: string, config: AdapterConfig, options: AttachOptions): void {
    this.#checkName(name);
    this.#register(this.#attach(name, config, options));
  }

  /** A method bound to this model's places. The model does not know it yet. */
  #attach(name: string, config: AdapterConfig, options: AttachOptions): Attached {
    const { spec, runtime } = this.base;
    checkTask(config, spec.task);
    const named = { ...config, baseModelNameOrPath: config.baseModelNameOrPath ?? this.base.name };
    Object.setPrototypeOf(named, Object.getPrototypeOf(config));
    return attach(name, methodOf(config.peftType), named, spec, runtime.weights.inventory, options);
  }

  #register(attached: Attached): void {
    const { adapter, warnings } = attached;
    const { name } = adapter;
    checkBias(adapter, [...this.adapters.values()]);
    for (const warning of warnings) this.#warn(words`${warning}`);
    this.adapters.set(name, adapter);
    if (this.#active.length === 0) this.#active = [name];
    this.#after(
      adapter,
      () => this.#prepare(attached),
      () => {
        this.#gone.add(adapter);
        this.#drop(adapter);
      },
    );
  }

  /** Starting values that come from the base, and what they leave of it. */
  async #prepare({ adapter, prepare }: Attached): Promise<void> {
    if (this.adapters.get(adapter.name) !== adapter) return;
    const residuals = await prepare(this.base.runtime);
    if (residuals.size > 0) await this.#changes.reduce(adapter, residuals);
  }

  /** Work that changes an adapter or the model under it: before whatever is called from now on. */
  #change<R>(adapter: Adapter, work: () => Promise<R>): Promise<R> {
    this.#unready.push(adapter);
    return this.base.runtime.turns.alone(async () => {
      try {
        return await work();
      } finally {
        this.#unready.splice(this.#unready.indexOf(adapter), 1);
      }
    });
  }

  /** The same for what nobody waits for: the next run throws what went wrong in it. */
  #after(adapter: Adapter, work: () => Promise<void>, otherwise?: () => void): void {
    this.#ready = this.#change(adapter, work).catch((error) => {
      otherwise?.();
      this.#faults.push(error);
    });
  }

  #throwFault(): void {
    const [fault] = this.#faults.splice(0);
    if (fault !== undefined) throw fault;
  }

  /** A call's work when its turn has come; the adapters that it was called for do not train meanwhile. */
  #turn<R>(kind: "beside" | "alone", adapters: readonly Adapter[], work: () => Promise<R>): Promise<R> {
    const changes = adapters.flatMap((adapter) => adapter.state.changing);
    const run = this.base.runtime.turns[kind](async () => {
      await Promise.all(changes);
      this.#throwFault();
      const gone = adapters.find((adapter) => this.#gone.has(adapter));
      if (gone !== undefined) throw unloaded(gone);
      return await work();
    });
    for (const adapter of adapters) adapter.state.useFor(run);
    return run;
  }

  /** Waits for that work. Throws what went wrong in it, once: the adapter in question is gone. */
  async ready(): Promise<void> {
    for (let last: Promise<void> | undefined; last !== this.#ready; ) {
      last = this.#ready;
      await last;
    }
    this.#throwFault();
  }

  /**
   * Adds an adapter that stands for several LoRA adapters, each with its weight; does not activate it.
   * Reference: peft/tuners/lora/model.py, add_weighted_adapter
   * @throws "adapter-name", "adapter-config"
   * @example
   * ```ts
   * await model.addWeightedAdapter(["polite", "brief"], [0.7, 0.3], "both", { combinationType: "ties", density: 0.5 });
   * ```
   */
  async addWeightedAdapter(
    names: readonly string[],
    weights: readonly number[],
    name: string,
    options: WeightedOptions = {},
  ): Promise<void> {
    refuseUnknown("addWeightedAdapter", options, weightedNames);
    const sources = names.map((n) => this.#adapter(n));
    const { config, fill } = mixtureOf(sources, weights, options);
    this.addAdapter(name, config);
    const adapter = this.#adapter(name);
    this.#after(adapter, async () => fill(adapter));
    await this.ready();
  }

  /**
   * Loads an adapter beside those that are there; does not activate it.
   * @param name the name that it gets here
   * @returns keys of tensors that the file lacks, and that it has too many: none, unless `strict` is false
   * @throws "adapter-name", "adapter-mismatch", "unknown-method", "adapter-config", "file-format", "hub"
   * @example
   * ```ts
   * await model.loadAdapter("you/polite-lora", "polite");
   * model.setAdapter(["default", "polite"]); // both at once
   * ```
   */
  async loadAdapter(
    nameOrFolder: string,
    name: string,
    options: LoadAdapterOptions = {},
  ): Promise<LoadedKeys> {
    expectName("loadAdapter", nameOrFolder);
    refuseUnknown("loadAdapter", options, loadNames);
    const folder = await resolveFolder(nameOrFolder, pickOptions(options, hubNames));
    const file = await readAdapterConfig(folder);
    for (const warning of file.warnings) this.#warn(words`${warning}`);
    await checkHead(folder, this.base as unknown as PreTrainedModel);
    const storedPrompt = !(await hasEncoder(folder));
    const stored = { seed: this.base.seed, tokenize: () => [], storedPrompt };
    const { runtime } = this.base;
    const classes = await readClasses(folder);
    const adapter = await this.#reserving(name, async () => {
      const attached = await attachFile(name, folder, file, runtime, (own) =>
        this.#attach(name, file.config, { ...stored, file: own }),
      );
      attached.adapter.state.classes = classes;
      this.#register(attached);
      return attached.adapter;
    });
    try {
      const loaded = await this.#change(adapter, async () => {
        this.#throwFault();
        if (options.isTrainable === true) checkTrainable(adapter, this.#changes.merged);
        return await loadAdapterTensors(adapter, folder, runtime, options.strict ?? true);
      });
      for (const warning of loaded.warnings) this.#warn(words`${warning}`);
      return loaded.keys;
    } catch (error) {
      this.#drop(adapter);
      throw error;
    }
  }

  /** Nobody else takes an adapter's name meanwhile. Throws "adapter-name". */
  async #reserving<R>(name: string, work: () => Promise<R>): Promise<R> {
    this.#checkName(name);
    this.#reserved.add(name);
    try {
      return await work();
    } finally {
      this.#reserved.delete(name);
    }
  }

  #checkName(name: string): void {
    checkName(name, new Set([...this.adapters.keys(), ...this.#reserved]));
  }

  /**
   * Makes one adapter, or several together, the active ones. Nothing is compiled for it, and no weight is copied.
   * @throws "adapter-name", "adapter-config" for those that cannot work together
   */
  setAdapter(names: string | readonly string[]): void {
    const list = [...new Set(typeof names === "string" ? [names] : names)];
    checkTogether(list.map((name) => this.#adapter(name)));
    if (list.length === 0)
      throw new PeftError("adapter-name", {
        what: "setAdapter got no names.",
        why: "one adapter at least is active.",
        fix: "name one, or run on the plain base: disableAdapter(() => ...).",
      });
    this.#active = list;
  }

  /** Removes an adapter; what it changed of the base's weights is restored. @throws "adapter-name" */
  deleteAdapter(name: string): void {
    const adapter = this.#adapter(name);
    const { residuals } = this.#changes;
    const merged = [...new Set([...this.#changes.merged, ...this.#merging])];
    if (merged.includes(adapter) || (merged.length > 0 && residuals.includes(adapter)))
      throw new PeftError("adapter-name", {
        what: `The adapter "${name}" cannot be deleted while ${namesOf(merged)} are merged.`,
        why: "what it changed of the base's weights cannot be taken back from under them.",
        fix: "call unmergeAdapter() first.",
      });
    this.#drop(adapter);
  }

  #drop(adapter: Adapter): void {
    this.#remove(adapter);
    this.#after(adapter, () => this.#clear(adapter));
  }

  /** Lets go of what the model and the engine hold of an adapter. */
  async #clear(adapter: Adapter): Promise<void> {
    this.#gone.add(adapter);
    await this.#changes.restore(adapter);
    await this.base.runtime.forget(adapter);
  }

  #remove(adapter: Adapter): void {
    const { name } = adapter;
    if (this.adapters.get(name) === adapter) this.adapters.delete(name);
    this.#together.clear();
    this.#active = this.#active.filter((n) => this.adapters.has(n));
    const [first] = this.adapters.keys();
    if (this.#active.length === 0 && first !== undefined) this.#active = [first];
  }

  /**
   * Runs something on the plain base; where an adapter keeps a part of it (PiSSA, OLoRA), on what is left, as in Python. It reaches what
   * `run` calls, and nothing that runs beside it. Merged adapters are unmerged, and stay so. Reference: peft/peft_model.py, disable_adapter
   * @example
   * ```ts
   * const { logits } = await model.disableAdapter(() => model.forward(batch));
   * ```
   */
  async disableAdapter<R>(run: () => Promise<R>): Promise<R> {
    return await this.#disabled.run(run);
  }

  /** Whether the active adapters can become a part of the base's weights. */
  get isMergeable(): boolean {
    try {
      this.#changes.mergers(this.#activeAdapters());
      return true;
    } catch (error) {
      if (error instanceof PeftError) return false;
      throw error;
    }
  }

  /** The model under the adapters, as `base` is; Python's name for it. */
  getBaseModel(): PreTrainedModel<T> {
    return this.base;
  }

  /** Trainable tensors of the active adapters, with their gradient. */
  trainableParameters(): Parameters {
    return this.#parametersOf(this.#activeAdapters());
  }

  #parametersOf(adapters: readonly Adapter[]): Parameters {
    if (adapters.length === 1) return adapters[0]!.state.parameters;
    const key = adapters.map((a) => a.uid).join();
    const parameters = this.#together.get(key) ?? parametersOf(adapters);
    this.#together.set(key, parameters);
    return parameters;
  }

  /** AdaLoRA takes ranks away after step `globalStep` (from 1). Reference: peft/tuners/adalora/model.py */
  updateAndAllocate(globalStep: number): void {
    const adapters = this.#activeAdapters();
    const parameters = this.#parametersOf(adapters);
    for (const [slot, adapter] of adapters.entries())
      adapter.state.allocate(globalStep, parameters, (key) => parameterName(adapters, slot, key));
  }

  /** Lets the base choose how steps with batches of these sizes run within its `maxMemory`. Throws "option" where nothing fits. */
  async planMemory(sizes: BatchSizes): Promise<void> {
    const adapters = this.#trained();
    if (adapters.length > 0) await this.base.runtime.planMemory(adapters, sizes);
  }

  /** Says how many steps a training takes, to methods that take ranks away over all of it. The Trainer calls it by itself. */
  planSteps(totalSteps: number): void {
    for (const adapter of this.#trained()) adapter.state.planSteps(totalSteps);
  }

  /** What `updateAndAllocate` remembers. */
  allocationState(): readonly Parameter[] {
    const adapters = this.#trained();
    return adapters.flatMap((adapter, slot) =>
      (adapter.state.allocator?.state() ?? []).map(({ name, data }) => {
        return { name: parameterName(adapters, slot, name), shape: [data.length], data };
      }),
    );
  }

  /** A checkpoint can be used as an adapter: the active ones are saved in it. */
  async saveInCheckpoint(folder: string): Promise<void> {
    await this.savePretrained(folder, { selectedAdapters: this.#active });
  }

  #activeAdapters(): Adapter[] {
    const names = this.#active.length === 0 ? ["default"] : this.#active;
    return names.map((name) => this.#adapter(name));
  }

  /** Parameters of the active adapters that train, and all of the base and its adapters. */
  getNbTrainableParameters(): { trainable: number; total: number } {
    const sizes = [...this.adapters.values()].map((a) => a.addedSize);
    const trainable = this.#active.reduce((n, name) => n + this.#adapter(name).state.parameters.size, 0);
    return { trainable, total: this.base.numParameters() + sizes.reduce((a, b) => a + b, 0) };
  }

  /** The line that PEFT prints. */
  trainableParametersLine(): string {
    const { trainable, total } = this.getNbTrainableParameters();
    return `trainable params: ${trainable} || all params: ${total} || trainable%: ${(100 * trainable) / total}`;
  }

  /** Prints "trainable params: 2359296 || all params: 1231940608 || trainable%: 0.19", as Python does. */
  printTrainableParameters(print: (line: string) => void = console.log): void {
    print(this.trainableParametersLine());
  }

  /** Logits, and the loss where the batch has labels. Dropout is off. */
  async forward(batch: Inputs<T>, options: PassOptions & RowAdapters = {}): Promise<ForwardResult> {
    refuseUnknown("forward", options, rowNames);
    const run = (view: View): Promise<ForwardResult> =>
      forwardPass(this.base.runtime, view, batch as Inputs, options);
    return this.#viewed(this.#choose(options, rowsOf(batch)), run);
  }

  /** The loss alone, without dropout: no logits are held, however large the vocabulary. */
  async lossOf(batch: Inputs<T>, options: PassOptions & RowAdapters = {}): Promise<StepResult> {
    refuseUnknown("lossOf", options, rowNames);
    return this.#viewed(this.#choose(options, rowsOf(batch)), async (view) => {
      const { sum, count } = await lossPass(this.base.runtime, view, batch as Inputs, options);
      return { loss: sum / count, count };
    });
  }

  /**
   * Adds the gradient of the loss to `trainableParameters()`, until an optimizer's step takes it; with `adapters`, to those of the
   * adapters named. Batches weigh by what they have of labelled tokens (or rows), as if they were one.
   * @throws "batch", "training" where nothing trains, "adapter-name", "engine"
   * @example
   * ```ts
   * import { AdamW } from "peft.js";
   *
   * const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-3 });
   * const { loss } = await model.forwardBackward(batch);
   * await optimizer.step();
   * ```
   */
  async forwardBackward(batch: Inputs<T>, options: TrainOptions & ViewOptions = {}): Promise<StepResult> {
    refuseUnknown("forwardBackward", options, backwardNames);
    if (options.adapters === undefined) this.#activeAdapters(); // throws where there is none
    const { isOn, adapters, versions } = this.#choose(options, rowsOf(batch));
    if (!isOn || adapters.length === 0) throw nothingTrains();
    const parameters = this.#parametersOf(adapters);
    return this.#turn("alone", adapters, async () => {
      for (const adapter of adapters) checkTrainable(adapter, this.#changes.merged);
      const view = { adapters, gates: adapters.map(() => 1), versions };
      const settings = { ...options, seed: this.base.seed, step: parameters.step };
      const result = await backwardPass(this.base.runtime, view, parameters, batch as Inputs, settings);
      return { loss: result.sum / result.count, count: result.count };
    });
  }

  /**
   * Continues prompts: [rows, tokens], prompt (or start token) included, as transformers returns them.
   * Reference: transformers/generation/utils.py
   * @throws "generation" for settings that contradict each other, "batch", "adapter-name", "aborted"
   * @example
   * ```ts
   * const ids = await model.generate(tokenizer("Tweet text : ... Label :"), { maxNewTokens: 10 });
   * console.log(tokenizer.batchDecode(ids, { skipSpecialTokens: true }));
   * ```
   */
  async generate(input: GenerateInput, settings: GenerateSettings & RowAdapters = {}): Promise<number[][]> {
    const { adapters, adapterNames, ...options } = settings;
    checkPrompt(input);
    const named = {
      ...(adapters === undefined ? {} : { adapters }),
      ...(adapterNames === undefined ? {} : { adapterNames }),
    };
    const run = (view: View): Promise<number[][]> =>
      generateWith(this.base, this.base.runtime, view, input, options);
    return this.#viewed(this.#choose(named, input.inputIds.length), run);
  }

  #choose(options: RowAdapters, rows: number): Chosen {
    const state = {
      active: this.#trained(),
      isDisabled: this.#disabled.isInside,
      adapterOf: (name: string) => this.#adapter(name),
      isUnready: (adapter: Adapter) => this.#unready.includes(adapter) || adapter.state.changing.length > 0,
    };
    return choose(state, options, rows);
  }

  /** Whoever asks for the base gets it: what is merged is unmerged first, for good, as in Python. */
  #viewed<R>(chosen: Chosen, run: (view: View) => Promise<R>): Promise<R> {
    const isMerged = this.#changes.merged.length > 0 || this.#merging.length > 0;
    const unmerges = isMerged && isBase(chosen);
    return this.#turn(unmerges ? "alone" : "beside", chosen.adapters, async () => {
      const { merged } = this.#changes;
      if (unmerges && merged.length > 0) {
        this.#warn(
          words`Adapters ${namesOf(merged)} were unmerged: this call asks for the base without them.`,
        );
        await this.#changes.unmerge();
      }
      return await run(viewOf(chosen, this.#changes.merged));
    });
  }

  /**
   * Merges the active adapters (or those named) into the base's weights; `safe` refuses NaN and leaves all as it was.
   * @throws "adapter-config" for methods that cannot be merged, "adapter-name"
   */
  async mergeAdapter(options: MergeOptions = {}): Promise<void> {
    refuseUnknown("mergeAdapter", options, mergeNames);
    const named = (options.adapterNames ?? this.#active).map((n) => this.#adapter(n));
    this.#merging.push(...named);
    const merge = async (): Promise<void> => {
      const adapters = named.filter((a) => !this.#changes.isMerged(a));
      if (adapters.length < named.length)
        this.#warn(words`Adapters ${namesOf(this.#changes.merged)} are merged already: not once more.`);
      if (adapters.length > 0) await this.#changes.merge(adapters, options.safe ?? false);
    };
    await this.#turn("alone", named, merge).finally(() => {
      for (const adapter of named) this.#merging.splice(this.#merging.indexOf(adapter), 1);
    });
  }

  /** Takes merged adapters out again: the base's weights are what they were, to the bit. */
  async unmergeAdapter(): Promise<void> {
    await this.#turn("alone", [], async () => {
      if (this.#changes.merged.length === 0) this.#warn(words`No adapter is merged; nothing was done.`);
      await this.#changes.unmerge();
    });
  }

  /**
   * The base with the adapters merged into it, as a plain model: save it, and transformers loads it. The PeftModel has no adapters
   * then. Reference: peft/tuners/tuners_utils.py, merge_and_unload
   * @throws "adapter-config" for methods that cannot be merged, "adapter-name"
   * @example
   * ```ts
   * const merged = await model.mergeAndUnload();
   * await merged.savePretrained("merged");
   * ```
   */
  async mergeAndUnload(options: MergeOptions = {}): Promise<PreTrainedModel<T>> {
    refuseUnknown("mergeAndUnload", options, mergeNames);
    const changes = this.#changes;
    const named = (options.adapterNames ?? this.#active).map((n) => this.#adapter(n));
    return await this.#turn("alone", named, async () => {
      const wanted = [...new Set([...changes.merged, ...named])];
      const left = changes.residuals.filter((a) => !wanted.includes(a));
      if (left.length > 0) await changes.unmerge(); // these lie under the merges
      await this.#unload(left);
      const adapters = wanted.filter((a) => !changes.isMerged(a));
      if (adapters.length > 0) await changes.merge(adapters, options.safe ?? false);
      changes.keep();
      await this.#unload([...this.adapters.values()]);
      return this.base;
    });
  }

  /**
   * Writes the base with adapters merged into it as a plain Hub folder, weight by weight from the checkpoint in full precision: for bases
   * that are larger than memory, or held in 8 or 4 bits. The model itself stays as it is.
   */
  async saveMerged(folder: string, options: SaveModelOptions & MergeOptions = {}): Promise<void> {
    refuseUnknown("saveMerged", options, { ...mergeNames, ...wholeNames });
    const adapters = (options.adapterNames ?? this.#active).map((n) => this.#adapter(n));
    await this.#turn("alone", adapters, async () => {
      await this.#changes.unmerge();
      const made = this.#changes.mergers(adapters);
      await saveModel(this.base, options.safe === false ? made : checked(made), folder, options);
    });
  }

  /** The base without any adapter. */
  async unload(): Promise<PreTrainedModel<T>> {
    const adapters = [...this.adapters.values()];
    for (const adapter of adapters) this.#remove(adapter);
    return await this.base.runtime.turns.alone(async () => {
      await this.#changes.unmerge();
      await this.#unload(adapters);
      this.#throwFault();
      return this.base;
    });
  }

  async #unload(adapters: readonly Adapter[]): Promise<void> {
    for (const adapter of adapters) {
      this.#remove(adapter);
      await this.#clear(adapter);
    }
  }

  /**
   * Writes adapters as PEFT does: "default" into the folder itself, others into folders of their names. Each is adapter_config.json,
   * adapter_model.safetensors and README.md: all of them, or none where one fails.
   * @throws "output", "adapter-name"
   * @example
   * ```ts
   * await model.savePretrained("out"); // Python: PeftModel.from_pretrained(base, "out")
   * ```
   */
  async savePretrained(folder: string, options: SaveAdapterOptions = {}): Promise<void> {
    refuseUnknown("savePretrained", options, savedNames);
    const names = options.selectedAdapters ?? [...this.adapters.keys()];
    const adapters = names.map((name) => this.#adapter(name));
    await this.#turn("beside", adapters, async () => {
      for (const adapter of adapters) {
        const target = adapter.name === "default" ? folder : nodeFiles.join(folder, adapter.name);
        const prompt = await promptRows(this.base.runtime, adapter);
        await saveAdapter(adapter, target, this.base.runtime, { prompt, classes: this.#classesOf(adapter) });
        const { config, folder: from } = this.base;
        const { pooling, hiddenSize } = config;
        if (pooling !== undefined) await writePooling(target, pooling, { width: hiddenSize, from });
      }
    });
  }

  /** What an adapter's head tells apart, as its own files or else the base's config say. */
  #classesOf(adapter: Adapter): ClassFields | undefined {
    if (!taskOf(this.taskType).head.isPerLabel) return undefined;
    return adapter.state.classes ?? fieldsToSave(this.base.configJson);
  }

  /** Names of the classes that the active adapter's head tells apart, in the order of their ids; undefined: nobody named them. */
  get classNames(): readonly string[] | undefined {
    const [adapter] = this.#trained();
    return classNames(adapter?.state.classes ?? {}) ?? classNames(this.base.configJson);
  }

  /**
   * Uploads adapters to a repository on the Hub, which is made where it does not exist, as savePretrained writes them.
   * @param repo "you/name"
   * @throws "hub", "aborted"
   */
  async pushToHub(
    repo: string,
    options: PushOptions & SaveAdapterOptions = {},
  ): Promise<{ url: string; commit: string }> {
    refuseUnknown("pushToHub", options, { ...pushNames, ...savedNames });
    const { selectedAdapters, ...push } = options;
    const { cacheDir } = await hubSettings(push, nodeFiles);
    const folder = await nodeFiles.temporary(nodeFiles.join(cacheDir, "push"));
    try {
      await this.savePretrained(folder, selectedAdapters === undefined ? {} : { selectedAdapters });
      return await pushFolder(folder, repo, push);
    } finally {
      await nodeFiles.remove(folder);
    }
  }

  /** What a prompt's encoder yields: [rows, dim]; undefined where the adapter is no prompt method. */
  async promptEmbeddings(
    name: string,
  ): Promise<{ shape: readonly number[]; data: Float32Array } | undefined> {
    const adapter = this.#adapter(name);
    return await this.#turn("beside", [adapter], () => promptRows(this.base.runtime, adapter));
  }

  /** Closes the base: see there. */
  async close(): Promise<void> {
    await this.base.close();
  }

  /** Closes the base at the end of a block: `await using model = await PeftModel.fromPretrained(base, "out")`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #adapter(name: string): Adapter {
    const adapter = this.adapters.get(name);
    if (adapter !== undefined) return adapter;
    throw new PeftError("adapter-name", {
      what: `There is no adapter "${name}".`,
      why:
        this.adapters.size === 0 ? "the model has none." : `it has ${[...this.adapters.keys()].join(", ")}.`,
      fix: "use one of these, or addAdapter() or loadAdapter() first.",
    });
  }
}

function unloaded({ name }: Adapter): PeftError {
  return new PeftError("adapter-name", {
    what: `The adapter "${name}" is no more.`,
    why: "the model was unloaded, or the adapter could not be made, before the turn of this call came.",
    fix: "await calls that change a model before those that use it.",
  });
}

function namesOf(adapters: readonly Adapter[]): string {
  return adapters.map((a) => a.name).join(", ");
}

/** Throws "option" where an argument is no base model: a PeftModel, a promise of one. */
export function expectBase(call: string, base: unknown): void {
  expectArgument(call, base, {
    is: base instanceof PreTrainedModel,
    wants: "a base model",
    fix:
      base instanceof PeftModel
        ? "it has adapters already: add one more with addAdapter() or loadAdapter()."
        : "load one: await AutoModelForCausalLM.fromPretrained(name).",
  });
}
