// Over 400 lines: what every base can do, with the docstrings of the API reference.

import type { Adapter } from "../adapters/adapter.js";
import { AdapterDraft } from "../adapters/draft.js";
import type { View } from "../adapters/view.js";
import { NO_ADAPTERS } from "../adapters/view.js";
import { expectName, type NamesOf, pickOptions, refuseUnknown } from "../arguments.js";
import { classFields, classNames } from "../attach/class_names.js";
import { checkEngine, largestInt8Weight } from "../engine/engine.js";
import { formats } from "../engine/formats/index.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig, GenerationSource } from "../generate/config.js";
import { parseGenerationConfig } from "../generate/config.js";
import type { Rollout } from "../generate/rollouts.js";
import type { Parameters } from "../graph/parameters.js";
import { openCheckpoint } from "../hub/checkpoint.js";
import { environment, nodeFiles } from "../hub/files.js";
import { readJsonObject } from "../hub/json.js";
import type { ResolveOptions } from "../hub/resolve.js";
import { resolveFolder, resolveNames } from "../hub/resolve.js";
import { type HubOptions, hubSettings } from "../hub/settings.js";
import type { ModelConfig, Pooling, TaskType } from "../models/model.js";
import { type LogProbsOptions, logProbsNames } from "../plan/log_probs.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { RunPurpose } from "../plan/memory/estimate.js";
import { type PassOptions, passNames } from "../plan/requests.js";
import { entry } from "../present.js";
import { warnOnConsole } from "../printable.js";
import { CallScope } from "../run/call_scope.js";
import { type LogProbs, logProbsPass } from "../run/log_probs.js";
import type { ForwardResult } from "../run/passes.js";
import { backwardPass, forwardPass, lossPass, planPass } from "../run/passes.js";
import type { RuntimeSettings } from "../run/runtime.js";
import { Runtime } from "../run/runtime.js";
import { taskOf } from "../tasks/registry.js";
import type { Inputs } from "../trace/feeds.js";
import { countParameters } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { takeInventory } from "../trace/write.js";
import { quantizationOf } from "../weights/packed/index.js";
import type { QuantizeEvent } from "../weights/quantized.js";
import { quantizedSources } from "../weights/quantized.js";
import { resizeVocabulary } from "../weights/resized_vocabulary.js";
import { tieOf } from "../weights/tie.js";
import type { BoundWeights } from "../weights/weights.js";
import { bindWeights } from "../weights/weights.js";
import { option, type Words, words } from "../words.js";
import { readPooling } from "./embedding_files.js";
import type { GenerateInput, GenerateSettings } from "./generate.js";
import { generateWith, planGeneration } from "./generate.js";
import {
  planRollouts,
  type RolloutPrompts,
  type RolloutSettings,
  rolloutNames,
  rolloutsWith,
} from "./rollouts.js";
import { type SaveModelOptions, savedNames, saveModel } from "./save_model.js";
import { specOf } from "./spec.js";
import {
  meanLoss,
  nothingTrains,
  type StepResult,
  type TrainableModel,
  type TrainOptions,
  trainNames,
} from "./trainable.js";
import { type TrainedBy, trainedBy } from "./trained_by.js";

/** How a model is loaded, held and run. Those of the Hub are left out for local folders. */
export interface LoadOptions extends RuntimeSettings, Omit<ResolveOptions, "files"> {
  /** Fields of config.json that are set here, by their names there: { num_labels: 77, dropout_rate: 0 }. */
  readonly config?: Readonly<Record<string, unknown>>;
  /**
   * How texts become vectors.
   * @default as the folder says it (1_Pooling, 2_Normalize), else the mean of their tokens
   */
  readonly pooling?: Pooling | undefined;
  /** Seed of what the checkpoint lacks: new heads, adapters. @default 0 */
  readonly seed?: number;
  /** The folder of quantized weights. @default PEFT_QUANTIZED_CACHE, else a folder beside the Hub's cache */
  readonly quantizedCache?: string | undefined;
  /** Hears how quantizing goes on, which happens once for a checkpoint and a format. @default nobody */
  readonly quantizing?: ((event: QuantizeEvent) => void) | undefined;
  /** Hears what to know of a model, and of adapters on it, that load all the same. @default console.warn */
  readonly warn?: ((message: Words) => void) | undefined;
}

const { files: _, ...hubNames } = resolveNames;
export const loadNames: NamesOf<LoadOptions> = {
  ...hubNames,
  config: { also: ["num_labels", "id2label"] },
  pooling: { also: ["pooling_mode"] },
  seed: {},
  quantizedCache: {},
  quantizing: {},
  warn: {},
  plan: { also: ["gradient_checkpointing"] },
  maxMemory: {},
  recompute: {},
  load: { also: ["load_in_8bit", "load_in_4bit", "quantization_config", "torch_dtype", "dtype"] },
  threads: { also: ["num_threads"] },
  device: { also: ["device_map"] },
};

/**
 * A pretrained model for one task, as AutoModelForCausalLM and the like load it. Its weights are mapped from
 * the checkpoint; the engine starts with the first run. Without adapters all of it can be trained: see
 * `trainableParameters`. Reference: transformers/modeling_utils.py
 */
export class PreTrainedModel<T extends TaskType = TaskType> implements TrainableModel<T> {
  readonly taskType: T;
  /** config.json as the model's architecture reads it. */
  readonly config: ModelConfig;
  /** config.json as it was read, with the options' own fields. */
  configJson: Readonly<Record<string, unknown>>;
  /** The Hub id or folder that it was loaded from. */
  readonly name: string;
  /** Where its checkpoint lies. */
  readonly folder: string;
  /** @internal */
  readonly runtime: Runtime;
  /** Settings of generation_config.json, which `generate` follows where a call says nothing. */
  readonly generationConfig: GenerationConfig;
  /** Seed of dropout, of new heads and of adapters. */
  readonly seed: number;
  /** Hears what to know of this model and of adapters on it. */
  readonly warn: (message: Words) => void;
  /** Where the settings of generation were read, and its keys that generation refuses. */
  readonly generationSource: GenerationSource;
  /** What trains, once all of the model does. */
  #whole: Adapter | undefined;
  /** The end of reading its starting values. */
  #filled: Promise<void> = Promise.resolve();
  /** Calls within disableAdapter(). */
  readonly #disabled: CallScope = new CallScope();

  /** @internal Users load models: AutoModelForCausalLM.fromPretrained. */
  constructor(parts: {
    task: T;
    name: string;
    folder: string;
    configJson: Readonly<Record<string, unknown>>;
    weights: BoundWeights;
    generation: { config: GenerationConfig; source: GenerationSource };
    options: LoadOptions;
  }) {
    this.taskType = parts.task;
    this.name = parts.name;
    this.folder = parts.folder;
    this.configJson = parts.configJson;
    this.config = parts.weights.spec.config;
    this.warn = parts.options.warn ?? warnOnConsole;
    this.runtime = new Runtime(parts.weights, parts.options);
    this.generationConfig = parts.generation.config;
    this.generationSource = parts.generation.source;
    this.seed = parts.options.seed ?? 0;
  }

  /**
   * Loads a Hub repository or a folder. Throws "unknown-model", "unknown-task", "checkpoint", "file-format",
   * "hub", "option", "engine".
   */
  static async load<T extends TaskType>(
    task: T,
    nameOrFolder: string,
    options: LoadOptions = {},
  ): Promise<PreTrainedModel<T>> {
    expectName("fromPretrained", nameOrFolder);
    refuseUnknown("fromPretrained", options, loadNames);
    await checkEngine(options);
    const folder = await resolveFolder(nameOrFolder, pickOptions(options, hubNames));
    const stored = await readJsonObject(nodeFiles.join(folder, "config.json"));
    const configJson = { ...stored, ...options.config };
    const read = specOf(configJson, task, nodeFiles.join(folder, "config.json"));
    const pooling = options.pooling ?? (await poolingOf(task, folder, options));
    const spec = { ...read, config: { ...read.config, pooling } };
    takeInventory(spec);
    const checkpoint = await openCheckpoint(folder);
    const isResized = options.config?.["vocab_size"] !== undefined;
    const bound = await bindWeights(
      spec,
      isResized ? await resizeVocabulary(checkpoint, specOf(stored, task), spec) : checkpoint,
      options.seed ?? 0,
      quantizationOf(stored),
    );
    const weights = { ...bound, sources: await sourcesIn(bound, options) };
    if (bound.packed.size > 0) (options.warn ?? warnOnConsole)(packedAs(nameOrFolder, weights));
    const generation = await readGeneration(folder, { ...spec.architecture.defaultTokens, ...stored });
    return new PreTrainedModel({
      task,
      name: nameOrFolder,
      folder,
      configJson,
      weights,
      generation,
      options,
    });
  }

  /** @internal */
  get spec(): ModelSpec {
    return this.runtime.weights.spec;
  }

  /**
   * What the largest run so far is expected to take at its peak, by the plan that was chosen for it; known
   * from the first one on.
   */
  get memoryEstimate(): Runtime["memoryEstimate"] {
    return this.runtime.memoryEstimate;
  }

  /** Number of parameters; tied ones count once. Reference: transformers/modeling_utils.py, num_parameters */
  numParameters(): number {
    return countParameters(this.runtime.weights.inventory);
  }

  /**
   * Logits, and the loss where the batch has labels. Dropout is off.
   * @throws "batch" for a batch of another task, or ids that the model does not have; "engine"
   */
  async forward(batch: Inputs<T>, options: PassOptions = {}): Promise<ForwardResult> {
    refuseUnknown("forward", options, passNames);
    const plan = (adapters: readonly Adapter[]): Promise<void> =>
      planPass(this.runtime, adapters, batch, options, "forward");
    return this.#viewed(plan, (view) => forwardPass(this.runtime, view, batch, options));
  }

  /**
   * The loss alone, without dropout: logits over a large vocabulary are never whole in memory. @throws
   * "batch", "engine"
   */
  async lossOf(batch: Inputs<T>, options: PassOptions = {}): Promise<StepResult> {
    refuseUnknown("lossOf", options, passNames);
    const plan = (adapters: readonly Adapter[]): Promise<void> =>
      planPass(this.runtime, adapters, batch, options, "loss");
    return this.#viewed(plan, async (view) => meanLoss(await lossPass(this.runtime, view, batch, options)));
  }

  /**
   * log p of a batch's labels, row by row and of each, without dropout: of the completions of rows that have
   * prompts.
   * @throws "batch" where it has no labels, "engine"
   */
  async logProbs(batch: Inputs<T>, options: LogProbsOptions = {}): Promise<LogProbs> {
    refuseUnknown("logProbs", options, logProbsNames);
    const plan = (adapters: readonly Adapter[]): Promise<void> =>
      planPass(this.runtime, adapters, batch, {}, "loss");
    return this.#viewed(plan, (view) => logProbsPass(this.runtime, view, batch, options));
  }

  /** Itself: what a PeftModel has under its adapters. */
  get base(): this {
    return this;
  }

  /** A base has no adapter: all weights train. */
  get adapterConfig(): undefined {
    return undefined;
  }

  /**
   * Names of the classes that its head tells apart, in the order of their ids; undefined: nobody named them.
   */
  get classNames(): readonly string[] | undefined {
    return classNames(this.configJson);
  }

  /** Names the classes that its head tells apart: config.json as it is saved from then on says so. */
  nameClasses(names: readonly string[]): void {
    this.configJson = { ...this.configJson, ...classFields(names) };
  }

  /** All weights train, with the learning rate that is usual then. */
  get trainedBy(): TrainedBy {
    return trainedBy(undefined);
  }

  /** No place is adapted: all weights train. */
  get adapterTargets(): readonly string[] {
    return [];
  }

  /** Tokens that a sample may have; Infinity: the model has no table of positions. */
  get maxPositions(): number {
    const positions = this.runtime.weights.inventory.positions ?? this.configJson["max_position_embeddings"];
    if (typeof positions !== "number" || this.config.encoderDecoder) return Number.POSITIVE_INFINITY;
    return positions;
  }

  /**
   * All weights of the model, to train them in full. From then on the model computes with these; their values
   * are read by the next run, or by `ready()`.
   */
  trainableParameters(): Parameters {
    return this.#trainable().state.parameters;
  }

  /** Waits for the values of `trainableParameters()`. Throws what went wrong in reading them. */
  async ready(): Promise<void> {
    await this.#filled;
  }

  /** Parameters that train, and all: the same number, for a base trains as a whole. */
  getNbTrainableParameters(): { trainable: number; total: number } {
    const total = this.numParameters();
    return { trainable: total, total };
  }

  /**
   * Chooses how runs with batches of these sizes stay within `maxMemory`: of training, or as `purpose` says.
   * @throws "option" where nothing fits training
   */
  async planMemory(sizes: BatchSizes, purpose: RunPurpose = "training"): Promise<void> {
    const whole = purpose === "training" ? this.#trainable() : this.#whole;
    await this.runtime.planMemory(whole === undefined ? [] : [whole], sizes, purpose);
  }

  /** All weights train to the end: nothing is taken away. */
  planSteps(): void {}
  updateAndAllocate(): void {}
  allocationState(): readonly [] {
    return [];
  }

  /** A checkpoint holds all weights already. */
  async saveInCheckpoint(): Promise<void> {}

  /** Runs something on the checkpoint's own weights, whatever was trained since. */
  async disableAdapter<R>(run: () => Promise<R>): Promise<R> {
    return await this.#disabled.run(run);
  }

  /**
   * Adds the gradient of the loss to `trainableParameters()`, until an optimizer's step takes it. Batches
   * weigh by what they have of labelled tokens (or rows), as if they were one.
   * @throws "batch", "training" within `disableAdapter`, "engine"
   */
  async forwardBackward(batch: Inputs<T>, options: TrainOptions = {}): Promise<StepResult> {
    refuseUnknown("forwardBackward", options, trainNames);
    if (this.#disabled.isInside) throw nothingTrains();
    const whole = this.#trainable();
    const { parameters, changing } = whole.state;
    return await this.#turn("alone", whole, changing, async () => {
      const settings = { ...options, seed: this.seed, step: parameters.step };
      const view = wholeView(whole);
      return meanLoss(await backwardPass(this.runtime, view, parameters, batch, settings));
    });
  }

  /**
   * Continues prompts: [rows, tokens], prompt (or start token) included, as transformers returns them.
   * Reference: transformers/generation/utils.py
   * @throws "generation" for settings that contradict each other, "batch", "aborted"
   * @example
   * ```ts
   * const ids = await base.generate(tokenizer("Translate to German: a house"), { maxNewTokens: 20, numBeams: 4 });
   * console.log(tokenizer.batchDecode(ids, { skipSpecialTokens: true }));
   * ```
   */
  async generate(input: GenerateInput, settings: GenerateSettings = {}): Promise<number[][]> {
    const plan = (adapters: readonly Adapter[]): Promise<void> =>
      planGeneration(this, this.runtime, adapters, input, settings);
    return this.#viewed(plan, (view) => generateWith(this, this.runtime, view, input, settings));
  }

  /**
   * Samples answers to prompts, several to each, with the log-probability of each token. In the order of the
   * prompts, all answers to one side by side.
   * @throws "generation" for prompts beyond the model's positions, "option", "batch", "aborted"
   */
  async rollouts(prompts: RolloutPrompts, settings: RolloutSettings = {}): Promise<Rollout[]> {
    refuseUnknown("rollouts", settings, rolloutNames);
    const plan = (adapters: readonly Adapter[]): Promise<void> =>
      planRollouts(this, this.runtime, adapters, prompts, settings);
    return this.#viewed(plan, (view) => rolloutsWith(this, this.runtime, view, prompts, settings));
  }

  /** Plans memory, and runs with the weights as they are now when its turn has come. */
  #viewed<R>(
    plan: (adapters: readonly Adapter[]) => Promise<void>,
    work: (view: View) => Promise<R>,
  ): Promise<R> {
    const whole = this.#disabled.isInside ? undefined : this.#whole;
    const planned = plan(whole === undefined ? [] : [whole]);
    const view = whole === undefined ? NO_ADAPTERS : wholeView(whole);
    const changes = whole?.state.changing ?? [];
    return this.#turn("beside", whole, changes, async () => {
      await planned;
      return await work(changes.length > 0 && whole !== undefined ? wholeView(whole) : view);
    });
  }

  /** A call's work when its turn has come and the values are there; they do not change meanwhile. */
  #turn<R>(
    kind: "beside" | "alone",
    whole: Adapter | undefined,
    changes: readonly Promise<unknown>[],
    work: () => Promise<R>,
  ): Promise<R> {
    const filled = whole === undefined ? undefined : this.#filled;
    const run = this.runtime.turns[kind](async () => {
      await filled;
      await Promise.all(changes);
      return await work();
    });
    whole?.state.useFor(run);
    return run;
  }

  /** Writes config.json and model.safetensors as transformers reads them. @throws "output" */
  async savePretrained(folder: string, options: SaveModelOptions = {}): Promise<void> {
    refuseUnknown("savePretrained", options, savedNames);
    const whole = this.#whole;
    const changed = new Map([...(whole?.entries.values() ?? [])].map((e) => [e.key, () => e.data]));
    await this.#turn("beside", whole, whole?.state.changing ?? [], () =>
      saveModel(this, changed, folder, options),
    );
  }

  /** Ends the engine, after the run in progress, and lets go of the weights. A closed model cannot be run. */
  async close(): Promise<void> {
    await this.runtime.close();
  }

  /**
   * Closes the model at the end of a block: `await using base = await
   * AutoModelForCausalLM.fromPretrained(name)`.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The whole model as an adapter that has a tensor of its own in place of every weight. */
  #trainable(): Adapter {
    if (this.#whole !== undefined) return this.#whole;
    const draft = new AdapterDraft("whole", undefined, { peftType: "FULL" });
    const { inventory } = this.runtime.weights;
    for (const [name, shape] of inventory.weights) {
      draft.replaced.set(name, name);
      draft.add({ key: name, savedKey: undefined, shape });
    }
    const tie = tieOf(inventory);
    if (tie !== undefined) draft.replaced.set(tie.own, tie.embedding.weight);
    const whole = draft.freeze();
    this.#whole = whole;
    this.#filled = this.runtime.turns.alone(async () => {
      for (const { key, data } of whole.entries.values()) data.set(await this.runtime.weight(key));
    });
    whole.state.useFor(this.#filled);
    this.#filled.catch(() => {
      this.#whole = undefined;
    });
    return whole;
  }
}

function wholeView(whole: Adapter): View {
  return { adapters: [whole], gates: [1], versions: [whole.state.version] };
}

/** Models with a head of their own make no vectors of texts. */
async function poolingOf(
  task: TaskType,
  folder: string,
  { warn = warnOnConsole }: LoadOptions,
): Promise<Pooling | undefined> {
  return taskOf(task).head.isBare ? readPooling(folder, warn) : undefined;
}

/** Where the weights are in the format that was asked for. */
async function sourcesIn(bound: BoundWeights, options: LoadOptions): Promise<BoundWeights["sources"]> {
  const { load, quantizing, signal } = options;
  const format = load === "f32" ? undefined : load;
  if (format === undefined && bound.packed.size === 0) return bound.sources;
  if (load !== undefined && !(load in formats))
    throw new PeftError("option", {
      what: words`${option("load")} is ${JSON.stringify(load)}.`,
      why: `weights are held in ${Object.keys(formats).join(", ")}.`,
      fix: "choose one of these, or leave it out.",
    });
  const folder = await quantizedFolder(options);
  const packs = format !== undefined && formats[format].pack !== undefined;
  const largest = packs ? await largestInt8Weight() : 127;
  return quantizedSources(bound, format, { folder, largest, progress: quantizing, signal });
}

/** The folder of quantized weights. */
export async function quantizedFolder(
  options: HubOptions & Pick<LoadOptions, "quantizedCache">,
): Promise<string> {
  const { cacheDir } = await hubSettings(options, nodeFiles);
  const beside = nodeFiles.join(nodeFiles.parent(cacheDir), "peft.js", "quantized");
  return options.quantizedCache ?? environment()["PEFT_QUANTIZED_CACHE"] ?? beside;
}

/** In which scheme the checkpoint has its weights, and in which format they are held here. */
function packedAs(name: string, { packed, sources }: BoundWeights): Words {
  const schemes = new Set([...packed.values()].map(({ scheme }) => scheme));
  const held = new Set([...packed.keys()].map((weight) => entry(sources, weight).format));
  return words`"${name}" is quantized: ${packed.size} weights in ${[...schemes].join(", ")}, held here in ${[...held].join(", ")}.`;
}

async function readGeneration(
  folder: string,
  config: Readonly<Record<string, unknown>>,
): Promise<{ config: GenerationConfig; source: GenerationSource }> {
  const own = nodeFiles.join(folder, "generation_config.json");
  const hasOwn = await nodeFiles.exists(own);
  const json = hasOwn ? await readJsonObject(own) : config;
  const { config: parsed, unsupported } = parseGenerationConfig(json);
  return {
    config: parsed,
    source: { file: hasOwn ? own : nodeFiles.join(folder, "config.json"), unsupported, json },
  };
}
