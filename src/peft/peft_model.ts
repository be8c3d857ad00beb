// Over 400 lines: the public class, with a docstring for every call. What calls do is in what it imports.
import type { Adapter } from "../adapters/adapter.js";
import type { WeightedOptions } from "../adapters/mix.js";
import type { RowAdapters, ViewOptions } from "../adapters/views.js";
import type { LoadedKeys } from "../attach/adapter_tensors.js";
import { classFields, classNames, fieldsToSave } from "../attach/class_names.js";
import type { Conversion } from "../attach/convert.js";
import type { Rollout } from "../generate/rollouts.js";
import type { Parameter, Parameters } from "../graph/parameters.js";
import type { PushOptions } from "../hub/upload.js";
import type { AdapterConfig } from "../methods/method.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import type { LogProbsOptions } from "../plan/log_probs.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { RunPurpose } from "../plan/memory/estimate.js";
import type { PassOptions } from "../plan/requests.js";
import type { LogProbs } from "../run/log_probs.js";
import type { ForwardResult } from "../run/passes.js";
import type { Inputs } from "../trace/feeds.js";
import type { Words } from "../words.js";
import { type AdaptedBase, adaptedBase } from "./adapted_base.js";
import {
  forward,
  forwardBackward,
  generate,
  logProbs,
  lossOf,
  rollouts,
  scores,
  tokenScores,
} from "./adapter_calls.js";
import type {
  AdapterOptions,
  HotswapOptions,
  LoadAdapterOptions,
  MergeOptions,
  SaveAdapterOptions,
} from "./adapter_options.js";
import { addAdapter, addMixture, deleteAdapter, hotswapAdapter, loadAdapter } from "./attach_adapter.js";
import type { PreTrainedModel } from "./base_model.js";
import { type ConvertAdapterOptions, convertToLora } from "./convert_adapter.js";
import { expectBase } from "./expect_base.js";
import type { GenerateInput, GenerateSettings } from "./generate.js";
import {
  isMergeable,
  mergeAdapters,
  mergeForGood,
  saveMerged,
  unload,
  unmergeAdapters,
} from "./merge_adapters.js";
import type { RolloutPrompts, RolloutSettings } from "./rollouts.js";
import { promptEmbeddings, pushAdapters, saveAdapters } from "./save_adapters.js";
import type { SaveModelOptions } from "./save_model.js";
import type { StepResult, TrainableModel, TrainOptions } from "./trainable.js";
import { type TrainedBy, trainedBy } from "./trained_by.js";

/**
 * A base model with adapters on it: one or more active at a time, switched, disabled and mixed without
 * another copy of the base. Reference: peft/peft_model.py
 */
export class PeftModel<T extends TaskType = TaskType> implements TrainableModel<T> {
  /** The model under the adapters. */
  readonly base: PreTrainedModel<T>;
  /** The adapters by their names. */
  readonly adapters: Map<string, Adapter>;
  readonly #state: AdaptedBase;

  /** @param warn hears what to know of adapters, where it is not what hears the base */
  constructor(base: PreTrainedModel<T>, warn: (message: Words) => void = base.warn) {
    this.base = base;
    this.#state = adaptedBase(base, warn);
    this.adapters = this.#state.adapters.byName;
  }

  /**
   * Loads an adapter from a folder or the Hub onto a base, and activates it. Reference: peft/peft_model.py,
   * from_pretrained
   * @throws "adapter-mismatch" where it was made for another base, "unknown-method", "adapter-config",
   * "file-format", "hub"
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

  /** What the model is for: with an active adapter for another task than the base's, that one. */
  get taskType(): T {
    return (this.#state.adapters.named()[0]?.task?.task ?? this.base.taskType) as T;
  }
  /** The base's config.json as its architecture reads it for that task. */
  get config(): ModelConfig {
    return this.#state.adapters.named()[0]?.task?.config ?? this.base.config;
  }
  /** Names of the adapters that calls use where they say nothing. */
  get activeAdapters(): readonly string[] {
    return this.#state.adapters.activeNames;
  }

  /** The active adapter, the first one of several. */
  get activeAdapter(): Adapter {
    return this.#state.adapters.active()[0];
  }

  /** The config of the adapter that trains, the first one of several. */
  get adapterConfig(): AdapterConfig | undefined {
    return this.#state.adapters.named()[0]?.config;
  }
  /** Its method, in words, with the learning rate that is usual for it. */
  get trainedBy(): TrainedBy {
    return trainedBy(this.#state.adapters.named()[0]?.method);
  }
  /** Kinds of places where that adapter stands, by the last part of their paths: q_proj, v_proj. */
  get adapterTargets(): readonly string[] {
    return this.#state.adapters.named()[0]?.targets ?? [];
  }
  /**
   * Names of the classes that the active adapter's head tells apart, in the order of their ids; undefined:
   * nobody named them.
   */
  get classNames(): readonly string[] | undefined {
    const [adapter] = this.#state.adapters.named();
    const ofBase = adapter?.task === undefined ? classNames(this.base.configJson) : undefined;
    return classNames(adapter?.state.classes ?? {}) ?? ofBase;
  }
  /** Names the classes of the active adapter's head: what is saved from then on says so. */
  nameClasses(names: readonly string[]): void {
    const [adapter] = this.#state.adapters.named();
    if (adapter === undefined) this.base.nameClasses(names);
    else
      adapter.state.classes = {
        ...(adapter.task === undefined ? fieldsToSave(this.base.configJson) : {}),
        ...fieldsToSave(classFields(names)),
      };
  }
  /** The base's positions less those that virtual tokens take. */
  get maxPositions(): number {
    return this.base.maxPositions - this.#state.adapters.virtualTokens();
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
    addAdapter(this.#state, name, config, options);
  }

  /**
   * Waits for starting values, and for weights that are being restored. Throws what went wrong in it, once:
   * the adapter in question is removed.
   */
  async ready(): Promise<void> {
    await this.#state.turns.ready();
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
    await addMixture(this.#state, name, { names, weights, options });
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
    return await loadAdapter(this.#state, nameOrFolder, name, options);
  }

  /**
   * Puts the LoRA of another folder or Hub id in the place of the adapter `name`, which stays active: nothing
   * is compiled again, whatever the ranks. Layers that it lacks are without effect. Reference:
   * peft/utils/hotswap.py
   * @throws "adapter-name", "adapter-mismatch" where it stands on other layers, "file-format", "hub"
   * @example
   * ```ts
   * await model.hotswapAdapter("you/brief-lora", "default");
   * ```
   */
  async hotswapAdapter(nameOrFolder: string, name: string, options: HotswapOptions = {}): Promise<void> {
    await hotswapAdapter(this.#state, nameOrFolder, name, options);
  }

  /**
   * Makes one adapter, or several together, the active ones. Nothing is compiled for it, and no weight is
   * copied.
   * @throws "adapter-name", "adapter-config" for those that cannot work together
   */
  setAdapter(names: string | readonly string[]): void {
    this.#state.adapters.activate(typeof names === "string" ? [names] : names);
  }

  /** Removes an adapter; what it changed of the base's weights is restored. @throws "adapter-name" */
  deleteAdapter(name: string): void {
    deleteAdapter(this.#state, name);
  }

  /**
   * Runs something on the plain base; where an adapter keeps a part of it (PiSSA, OLoRA), on what is left, as
   * in Python. It reaches what `run` calls, and nothing that runs beside it. Merged adapters are unmerged,
   * and stay so. Reference: peft/peft_model.py, disable_adapter
   * @example
   * ```ts
   * const { logits } = await model.disableAdapter(() => model.forward(batch));
   * ```
   */
  async disableAdapter<R>(run: () => Promise<R>): Promise<R> {
    return await this.#state.disabled.run(run);
  }

  /** Whether the active adapters can become a part of the base's weights. */
  get isMergeable(): boolean {
    return isMergeable(this.#state);
  }

  /** The model under the adapters, as `base` is; Python's name for it. */
  getBaseModel(): PreTrainedModel<T> {
    return this.base;
  }

  /** Trainable tensors of the active adapters, or of those named, with their gradient. */
  trainableParameters(options: ViewOptions = {}): Parameters {
    const { adapters } = this.#state;
    return adapters.parametersOf(
      options.adapters === undefined ? adapters.active() : adapters.named(options.adapters),
    );
  }

  /** AdaLoRA takes ranks away after step `globalStep` (from 1). Reference: peft/tuners/adalora/model.py */
  updateAndAllocate(globalStep: number): void {
    this.#state.adapters.allocate(globalStep);
  }

  /**
   * Lets the base choose how runs with batches of these sizes stay within its `maxMemory`: of training, or as
   * `purpose` says.
   * @throws "option" where nothing fits training
   */
  async planMemory(sizes: BatchSizes, purpose: RunPurpose = "training"): Promise<void> {
    const adapters = this.#state.adapters.named();
    if (adapters.length > 0 || purpose !== "training")
      await this.base.runtime.planMemory(adapters, sizes, purpose);
  }

  /**
   * Says how many steps a training takes, to methods that take ranks away over all of it. The Trainer calls
   * it by itself.
   */
  planSteps(totalSteps: number): void {
    for (const adapter of this.#state.adapters.named()) adapter.state.planSteps(totalSteps);
  }

  /** What `updateAndAllocate` remembers. */
  allocationState(): readonly Parameter[] {
    return this.#state.adapters.allocationState();
  }

  /** A checkpoint can be used as an adapter: the active ones are saved in it. */
  async saveInCheckpoint(folder: string): Promise<void> {
    await this.savePretrained(folder, { selectedAdapters: this.activeAdapters });
  }

  /** Parameters of the active adapters that train, and all of the base and its adapters. */
  getNbTrainableParameters(): { trainable: number; total: number } {
    const sizes = [...this.adapters.values()].map((a) => a.addedSize);
    const active = this.#state.adapters.named();
    const trainable = active.reduce((n, { state }) => n + state.parameters.size, 0);
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
    return forward(this.#state, batch, options);
  }

  /**
   * What a ranker says of each row, one number: the first one of its head. `adapters` names it, beside
   * whatever is active.
   * @throws "batch", "adapter-name", "option" where the adapter labels no rows
   * @example
   * ```ts
   * await model.loadAdapter("ranker", "ranker"); // a SEQ_CLS adapter, on a base that writes
   * const inputIds = { data: Int32Array.of(464, 3139, 318, 6342), shape: [1, 4] as const };
   * const attentionMask = { data: Int32Array.of(1, 1, 1, 1), shape: [1, 4] as const };
   * const rewards = await model.scores({ task: "SEQ_CLS", inputIds, attentionMask }, { adapters: ["ranker"] });
   * ```
   */
  async scores(batch: Inputs<"SEQ_CLS">, options: ViewOptions = {}): Promise<Float32Array> {
    return await scores(this.#state, batch, options);
  }

  /**
   * The same as if each row ended at each of its tokens, [rows, tokens]: what a critic says of every state.
   */
  async tokenScores(
    batch: Inputs<"SEQ_CLS">,
    options: ViewOptions = {},
  ): Promise<{ readonly shape: readonly number[]; readonly data: Float32Array }> {
    return await tokenScores(this.#state, batch, options);
  }

  /** The loss alone, without dropout: no logits are held, however large the vocabulary. */
  async lossOf(batch: Inputs<T>, options: PassOptions & RowAdapters = {}): Promise<StepResult> {
    return lossOf(this.#state, batch, options);
  }

  /**
   * log p of a batch's labels, row by row and of each, without dropout: of the completions of rows that have
   * prompts. With `adapters` or within `disableAdapter` it is a reference's.
   * @throws "batch" where it has no labels, "adapter-name", "engine"
   * @example
   * ```ts
   * const { sums } = await model.logProbs(batch);
   * const reference = await model.logProbs(batch, { adapters: [] });
   * ```
   */
  async logProbs(batch: Inputs<T>, options: LogProbsOptions & RowAdapters = {}): Promise<LogProbs> {
    return logProbs(this.#state, batch, options);
  }

  /**
   * Adds the gradient of the loss to `trainableParameters()`, until an optimizer's step takes it; with
   * `adapters`, to those of the adapters named. Batches weigh by what they have of labelled tokens (or rows),
   * as if they were one.
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
    return forwardBackward(this.#state, batch, options);
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
    return generate(this.#state, input, settings);
  }

  /**
   * Samples answers to prompts, several to each, with the log-probability of each token: what training by
   * rewards needs. A prompt is read once for all of its answers, and answers that ended leave the batch for
   * those that wait. In the order of the prompts, all answers to one side by side.
   * @throws "generation" for prompts beyond the model's positions, "option", "batch", "adapter-name",
   * "aborted"
   * @example
   * ```ts
   * const prompts = ["1 + 1 =", "2 + 3 ="].map((text) => tokenizer.encode(text));
   * const answers = await model.rollouts(prompts, { generations: 8, maxNewTokens: 16, seed: 1 });
   * console.log(tokenizer.batchDecode(answers.map(({ ids }) => ids)));
   * ```
   */
  async rollouts(prompts: RolloutPrompts, settings: RolloutSettings & ViewOptions = {}): Promise<Rollout[]> {
    return rollouts(this.#state, prompts, settings);
  }

  /**
   * Merges the active adapters (or those named) into the base's weights; `safe` refuses NaN and leaves all as
   * it was.
   * @throws "adapter-config" for methods that cannot be merged, "adapter-name"
   */
  async mergeAdapter(options: MergeOptions = {}): Promise<void> {
    await mergeAdapters(this.#state, options);
  }

  /** Takes merged adapters out again: the base's weights are what they were, to the bit. */
  async unmergeAdapter(): Promise<void> {
    await unmergeAdapters(this.#state);
  }

  /**
   * The base with the adapters merged into it, as a plain model: save it, and transformers loads it. The
   * PeftModel has no adapters then. Reference: peft/tuners/tuners_utils.py, merge_and_unload
   * @throws "adapter-config" for methods that cannot be merged, "adapter-name"
   * @example
   * ```ts
   * const merged = await model.mergeAndUnload();
   * await merged.savePretrained("merged");
   * ```
   */
  async mergeAndUnload(options: MergeOptions = {}): Promise<PreTrainedModel<T>> {
    await mergeForGood(this.#state, options);
    return this.base;
  }

  /**
   * Writes the base with adapters merged into it as a plain Hub folder, weight by weight from the checkpoint
   * in full precision: for bases that are larger than memory, or held in 8 or 4 bits. The model itself stays
   * as it is.
   */
  async saveMerged(folder: string, options: SaveModelOptions & MergeOptions = {}): Promise<void> {
    await saveMerged(this.#state, folder, options);
  }

  /**
   * Writes an adapter whose layers change by a matrix (LoHa, VeRA, OFT, DoRA, ...) as a LoRA, for whatever
   * serves nothing else, and says how much of it is lost. Reference: peft/tuners/lora/conversion.py,
   * save_as_lora
   * @throws "adapter-config" for methods that are no such change, or where `maxError` is passed, "option",
   * "adapter-name", "output"
   * @example
   * ```ts
   * const { error } = await model.convertToLora("as-lora", { rank: 16 });
   * ```
   */
  async convertToLora(folder: string, options: ConvertAdapterOptions): Promise<Conversion> {
    return await convertToLora(this.#state, folder, options);
  }

  /** The base without any adapter. */
  async unload(): Promise<PreTrainedModel<T>> {
    await unload(this.#state);
    return this.base;
  }

  /**
   * Writes adapters as PEFT does: "default" into the folder itself, others into folders of their names. Each
   * is adapter_config.json, adapter_model.safetensors and README.md: all of them, or none where one fails.
   * @throws "output", "adapter-name"
   * @example
   * ```ts
   * await model.savePretrained("out"); // Python: PeftModel.from_pretrained(base, "out")
   * ```
   */
  async savePretrained(folder: string, options: SaveAdapterOptions = {}): Promise<void> {
    await saveAdapters(this.#state, folder, options);
  }

  /**
   * Uploads adapters to a repository on the Hub, which is made where it does not exist, as savePretrained
   * writes them.
   * @param repo "you/name"
   * @throws "hub", "aborted"
   */
  async pushToHub(
    repo: string,
    options: PushOptions & SaveAdapterOptions = {},
  ): Promise<{ url: string; commit: string }> {
    return await pushAdapters(this.#state, repo, options);
  }

  /** What a prompt's encoder yields: [rows, dim]; undefined where the adapter is no prompt method. */
  async promptEmbeddings(
    name: string,
  ): Promise<{ shape: readonly number[]; data: Float32Array } | undefined> {
    return await promptEmbeddings(this.#state, name);
  }

  /** Closes the base: see there. */
  async close(): Promise<void> {
    await this.base.close();
  }

  /**
   * Closes the base at the end of a block: `await using model = await PeftModel.fromPretrained(base, "out")`.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
