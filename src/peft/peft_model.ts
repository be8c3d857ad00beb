import type { AdapterConfig } from "../adapters/method.js";
import { PeftError } from "../errors.js";
import type { Parameters } from "../graph/parameters.js";
import { nodeFiles } from "../hub/files.js";
import type { ResolveOptions } from "../hub/resolve.js";
import { resolveFolder } from "../hub/resolve.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import type { Adapter } from "./adapter.js";
import {
  hasEncoder,
  type LoadedKeys,
  loadAdapterTensors,
  methodOf,
  readAdapterConfig,
  saveAdapter,
} from "./adapter_files.js";
import type { Attached, AttachOptions } from "./attach.js";
import { attach } from "./attach.js";
import type { PreTrainedModel, StepResult, TrainOptions } from "./base_model.js";
import type { Inputs } from "./feeds.js";
import type { GenerateInput, GenerateSettings } from "./generate.js";
import { generateWith } from "./generate.js";
import { mergedWeights } from "./merge.js";
import type { ForwardResult, PassOptions } from "./passes.js";
import { backwardPass, forwardPass, lossPass } from "./passes.js";
import type { View } from "./runtime.js";
import { NO_ADAPTERS } from "./runtime.js";

export interface AdapterOptions {
  /** Of new parameters; default: the base's. */
  readonly seed?: number;
  /** Turns a prompt's text into ids, for prompt tuning that starts from a text. */
  readonly tokenizer?: ((text: string) => { inputIds: readonly (readonly number[])[] }) | undefined;
}

export interface LoadAdapterOptions extends Omit<ResolveOptions, "files"> {
  readonly adapterName?: string;
  /** Whether it will be trained further. */
  readonly isTrainable?: boolean;
  /** Missing and unexpected tensors are errors (default), or only returned. */
  readonly strict?: boolean;
}

/** Rows of a batch with an adapter each, by name; "__base__": none. */
export interface RowAdapters {
  readonly adapterNames?: readonly string[];
}

const BASE = "__base__";

/**
 * A base model with adapters on it: one or more active at a time, switched, disabled and mixed without another copy of the base.
 * Reference: peft/peft_model.py
 */
export class PeftModel<T extends TaskType = TaskType> {
  readonly base: PreTrainedModel<T>;
  readonly adapters: Map<string, Adapter> = new Map();
  readonly #warn: (message: string) => void;
  #active: string[] = [];
  #disabled = false;
  #ready: Promise<void> = Promise.resolve();
  /** Names of merged adapters, and what the base's weights were before. */
  #merged: { names: readonly string[]; before: Map<string, Float32Array | undefined> } | undefined;

  constructor(base: PreTrainedModel<T>, warn: (message: string) => void = console.warn) {
    this.base = base;
    this.#warn = warn;
  }

  /** Loads an adapter from a folder or the Hub onto a base. Throws "adapter-mismatch", "unknown-method", "file-format", "hub". */
  static async fromPretrained<T extends TaskType>(
    base: PreTrainedModel<T>,
    nameOrFolder: string,
    options: LoadAdapterOptions = {},
  ): Promise<PeftModel<T>> {
    const model = new PeftModel(base);
    const name = options.adapterName ?? "default";
    await model.loadAdapter(nameOrFolder, name, options);
    model.setAdapter(name);
    return model;
  }

  get taskType(): T {
    return this.base.taskType;
  }
  get config(): ModelConfig {
    return this.base.config;
  }
  get activeAdapters(): readonly string[] {
    return this.#active;
  }

  /** The active adapter that trains. */
  get activeAdapter(): Adapter {
    return this.#adapter(this.#active[0] ?? "default");
  }

  /** Adds a new adapter; the first one becomes active. Throws "adapter-name", "adapter-targets", "adapter-config". */
  addAdapter(name: string, config: AdapterConfig, options: AdapterOptions = {}): void {
    const { tokenizer } = options;
    this.#add(name, config, {
      seed: options.seed ?? this.base.seed,
      tokenize: tokenizer === undefined ? undefined : (text) => tokenizer(text).inputIds[0] ?? [],
    });
  }

  #add(name: string, config: AdapterConfig, options: AttachOptions): Attached {
    this.#checkName(name);
    const { spec, runtime } = this.base;
    if (config.taskType !== undefined && config.taskType !== spec.task)
      throw new PeftError("adapter-config", {
        what: `The adapter is for ${config.taskType}, the model was loaded for ${spec.task}.`,
        why: "heads and losses differ between tasks.",
        fix: `leave taskType out, or load the base with the class for ${config.taskType}.`,
      });
    const named = { ...config, baseModelNameOrPath: config.baseModelNameOrPath ?? this.base.name };
    Object.setPrototypeOf(named, Object.getPrototypeOf(config));
    const attached = attach(name, methodOf(config.peftType), named, spec, runtime.weights.inventory, options);
    this.#checkTogether(attached.adapter);
    for (const warning of attached.warnings) this.#warn(warning);
    this.adapters.set(name, attached.adapter);
    if (this.#active.length === 0) this.#active = [name];
    const before = this.#ready;
    this.#ready = before.then(() => attached.prepare(runtime));
    this.#ready.catch(() => undefined);
    return attached;
  }

  #checkName(name: string): void {
    if (name !== "" && name !== BASE && !this.adapters.has(name)) return;
    throw new PeftError("adapter-name", {
      what: `The adapter name "${name}" cannot be used.`,
      why: this.adapters.has(name)
        ? "the model has an adapter of this name."
        : `"" and "${BASE}" mean no adapter.`,
      fix: "choose another name, or deleteAdapter() first.",
    });
  }

  /** Prompt methods stand alone; trained biases of the base can belong to one adapter only. */
  #checkTogether(added: Adapter): void {
    const trainsBias = (a: Adapter): boolean => (a.method?.layers?.bias?.(a.config) ?? "none") !== "none";
    const others = [...this.adapters.values()];
    if (!(trainsBias(added) && others.some(trainsBias))) return;
    throw new PeftError("adapter-config", {
      what: `The adapter "${added.name}" trains biases of the base, and another adapter does so already.`,
      why: "a bias can have one value at a time; the model is as it was.",
      fix: 'use bias: "none" for all but one adapter.',
    });
  }

  /** Loads an adapter beside those that are there; does not activate it. */
  async loadAdapter(
    nameOrFolder: string,
    name: string,
    options: LoadAdapterOptions = {},
  ): Promise<LoadedKeys> {
    const folder = await resolveFolder(nameOrFolder, options);
    const file = await readAdapterConfig(folder);
    for (const warning of file.warnings) this.#warn(warning);
    const storedPrompt = !(await hasEncoder(folder));
    const active = this.#active;
    const attached = this.#add(name, file.config, { seed: this.base.seed, tokenize: () => [], storedPrompt });
    const { adapter } = attached;
    adapter.loadedJson = file.json;
    adapter.loadedFloats = file.floats;
    try {
      await this.#ready;
      if (options.isTrainable === true) this.#checkTrainable(adapter);
      return await loadAdapterTensors(adapter, folder, this.base.runtime, options.strict ?? true);
    } catch (error) {
      this.adapters.delete(name);
      this.#active = active;
      this.#ready = Promise.resolve();
      throw error;
    }
  }

  /** Makes one adapter, or several together, the active ones. */
  setAdapter(names: string | readonly string[]): void {
    const list = typeof names === "string" ? [names] : [...names];
    for (const name of list) this.#adapter(name);
    this.#active = list;
  }

  deleteAdapter(name: string): void {
    this.#adapter(name);
    if (this.#merged?.names.includes(name))
      throw new PeftError("adapter-name", {
        what: `The adapter "${name}" is merged into the base.`,
        why: "its weights are part of the base's until unmerge().",
        fix: "call unmerge() first.",
      });
    this.adapters.delete(name);
    this.#active = this.#active.filter((n) => n !== name);
    const [first] = this.adapters.keys();
    if (this.#active.length === 0 && first !== undefined) this.#active = [first];
  }

  /** Runs something on the plain base. */
  async disableAdapter<R>(run: () => Promise<R>): Promise<R> {
    const before = this.#disabled;
    this.#disabled = true;
    try {
      return await run();
    } finally {
      this.#disabled = before;
    }
  }

  getBaseModel(): PreTrainedModel<T> {
    return this.base;
  }

  /** Trainable tensors of the active adapter, with their gradient. */
  trainableParameters(): Parameters {
    return this.activeAdapter.parameters;
  }

  getNbTrainableParameters(): { trainable: number; total: number } {
    const sizes = [...this.adapters.values()].map((a) => a.addedSize);
    const trainable = this.#active.reduce((n, name) => n + this.#adapter(name).parameters.size, 0);
    return { trainable, total: this.base.numParameters() + sizes.reduce((a, b) => a + b, 0) };
  }

  /** The line that PEFT prints. */
  trainableParametersLine(): string {
    const { trainable, total } = this.getNbTrainableParameters();
    return `trainable params: ${trainable} || all params: ${total} || trainable%: ${(100 * trainable) / total}`;
  }

  printTrainableParameters(print: (line: string) => void = console.log): void {
    print(this.trainableParametersLine());
  }

  /** Logits, and the loss where the batch has labels. Dropout is off. */
  async forward(batch: Inputs<T>, options: PassOptions & RowAdapters = {}): Promise<ForwardResult> {
    await this.#ready;
    const view = this.#view(options.adapterNames, batch.inputIds.shape[0]);
    return forwardPass(this.base.runtime, view, batch as Inputs, options);
  }

  /** The loss alone, without dropout: no logits are held, however large the vocabulary. */
  async lossOf(batch: Inputs<T>, options: PassOptions & RowAdapters = {}): Promise<StepResult> {
    await this.#ready;
    const view = this.#view(options.adapterNames, batch.inputIds.shape[0]);
    const { sum, count } = await lossPass(this.base.runtime, view, batch as Inputs, options);
    return { loss: sum / count, count };
  }

  /** Adds the gradient of the loss to `trainableParameters()`, until an optimizer's step takes it. */
  async forwardBackward(batch: Inputs<T>, options: TrainOptions = {}): Promise<StepResult> {
    await this.#ready;
    const adapter = this.activeAdapter;
    this.#checkTrainable(adapter);
    const { parameters } = adapter;
    const view = { adapters: [adapter], gates: [1] };
    const settings = { ...options, seed: this.base.seed, step: parameters.step };
    const result = await backwardPass(this.base.runtime, view, parameters, batch as Inputs, settings);
    return { loss: result.sum / result.count, count: result.count };
  }

  #checkTrainable(adapter: Adapter): void {
    if (this.#active.length > 1 && this.#active.includes(adapter.name))
      throw new PeftError("training", {
        what: `The adapters ${this.#active.join(", ")} are active together.`,
        why: "one adapter is trained at a time.",
        fix: `call setAdapter("${this.#active[0]}") first.`,
      });
    if (adapter.prompt === "stored")
      throw new PeftError("training", {
        what: `The adapter "${adapter.name}" cannot be trained further.`,
        why: "its file holds the prompt's final rows only, not the encoder that made them.",
        fix: "train it here from the start (peft.js saves the encoder too), or use a method without an encoder.",
      });
    if (this.#merged?.names.includes(adapter.name))
      throw new PeftError("training", {
        what: `The adapter "${adapter.name}" is merged.`,
        why: "a merged adapter takes no part in the computation any more.",
        fix: "call unmerge() first.",
      });
  }

  /** Continues prompts: [rows, tokens], prompt (or start token) included, as transformers returns them. */
  async generate(input: GenerateInput, settings: GenerateSettings & RowAdapters = {}): Promise<number[][]> {
    await this.#ready;
    const { adapterNames, ...options } = settings;
    const view = this.#view(adapterNames, input.inputIds.length);
    return generateWith(this.base, this.base.runtime, view, input, options);
  }

  /** Which adapters a run uses: the active ones, none where disabled, or row by row. */
  #view(names: readonly string[] | undefined, rows: number): View {
    if (names !== undefined) return this.#mixedView(names, rows);
    const merged = this.#merged?.names ?? [];
    const active = this.#active.filter((n) => !merged.includes(n)).map((n) => this.#adapter(n));
    if (!this.#disabled) return { adapters: active, gates: active.map(() => 1) };
    const canGate = active.every((a) => a.replaced.size === 0 && a.method?.prompt === undefined);
    return canGate ? { adapters: active, gates: active.map(() => 0) } : NO_ADAPTERS;
  }

  #mixedView(names: readonly string[], rows: number): View {
    const used = [...new Set(names)].filter((n) => n !== BASE).map((n) => this.#adapter(n));
    const whole = used.filter((a) => a.replaced.size > 0 || a.method?.prompt !== undefined);
    if (names.length !== rows || whole.length > 0)
      throw new PeftError("batch", {
        what:
          names.length !== rows
            ? `adapterNames has ${names.length} names for ${rows} rows.`
            : `The adapters ${whole.map((a) => a.name).join(", ")} cannot be mixed in one batch.`,
        why:
          names.length !== rows
            ? "each row needs one."
            : "they replace whole modules or add virtual tokens, which all rows share.",
        fix:
          names.length !== rows ? `give ${rows} names; "${BASE}" means none.` : "run them one after another.",
      });
    const gates = used.map((a) => Float32Array.from(names, (n) => (n === a.name ? 1 : 0)));
    return { adapters: used, gates };
  }

  /** Merges the active adapters (or those named) into the base's weights; `safe` refuses NaN and leaves all as it was. */
  async mergeAdapter(options: { adapterNames?: readonly string[]; safe?: boolean } = {}): Promise<void> {
    await this.#ready;
    const names = options.adapterNames ?? this.#active;
    if (this.#merged !== undefined) {
      this.#warn(`Adapters ${this.#merged.names.join(", ")} are merged already; nothing was done.`);
      return;
    }
    const { runtime } = this.base;
    const merged = await mergedWeights(
      runtime,
      names.map((n) => this.#adapter(n)),
      options.safe ?? false,
    );
    const before = new Map<string, Float32Array | undefined>();
    for (const name of merged.keys())
      before.set(name, runtime.isChanged(name) ? await runtime.weight(name) : undefined);
    await runtime.changeWeights(merged);
    this.#merged = { names: [...names], before };
  }

  /** Takes merged adapters out again: the base's weights are what they were, to the bit. */
  async unmergeAdapter(): Promise<void> {
    if (this.#merged === undefined) {
      this.#warn("No adapter is merged; nothing was done.");
      return;
    }
    await this.base.runtime.changeWeights(this.#merged.before);
    this.#merged = undefined;
  }

  /** The base with the adapters merged into it, as a plain model: save it, and transformers loads it. */
  async mergeAndUnload(
    options: { adapterNames?: readonly string[]; safe?: boolean } = {},
  ): Promise<PreTrainedModel<T>> {
    if (this.#merged === undefined) await this.mergeAdapter(options);
    this.adapters.clear();
    this.#active = [];
    this.#merged = undefined;
    return this.base;
  }

  /** The base without any adapter. */
  async unload(): Promise<PreTrainedModel<T>> {
    if (this.#merged !== undefined) await this.unmergeAdapter();
    this.adapters.clear();
    this.#active = [];
    return this.base;
  }

  /** Writes adapters as PEFT does: "default" into the folder itself, others into folders of their names. */
  async savePretrained(
    folder: string,
    options: { selectedAdapters?: readonly string[] } = {},
  ): Promise<void> {
    await this.#ready;
    for (const name of options.selectedAdapters ?? this.adapters.keys()) {
      const adapter = this.#adapter(name);
      const target = name === "default" ? folder : nodeFiles.join(folder, name);
      await saveAdapter(adapter, target, this.base.runtime, await this.promptEmbeddings(name));
    }
  }

  /** What a prompt's encoder yields: [rows, dim]; undefined where the adapter is no prompt method. */
  async promptEmbeddings(
    name: string,
  ): Promise<{ shape: readonly number[]; data: Float32Array } | undefined> {
    await this.#ready;
    const adapter = this.#adapter(name);
    const prompt = adapter.method?.prompt;
    if (prompt === undefined) return undefined;
    if (adapter.prompt === "stored") return adapter.entry("prompt_embeddings");
    const { outputs } = await this.base.runtime.run({
      kind: "prompt embeddings",
      view: { adapters: [adapter], gates: [1] },
      write: (trace) => ({
        outputs: {
          rows: prompt.encode(trace.g, (key) => trace.entry(0, `prompt_encoder.${key}`), adapter.config),
        },
      }),
      feeds: {},
    });
    const { shape, data } = outputs["rows"]!;
    return { shape, data: data as Float32Array };
  }

  /** Waits for starting values that come from the base's weights. */
  ready(): Promise<void> {
    return this.#ready;
  }

  async close(): Promise<void> {
    await this.base.close();
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

/** Puts a new adapter on a base model. Throws "adapter-targets", "adapter-config". Reference: peft/mapping_func.py */
export function getPeftModel<T extends TaskType>(
  base: PreTrainedModel<T>,
  config: AdapterConfig,
  options: AdapterOptions & { adapterName?: string } = {},
): PeftModel<T> {
  const model = new PeftModel(base);
  model.addAdapter(options.adapterName ?? "default", config, options);
  return model;
}
