import type { Adapter } from "../adapters/adapter.js";
import { expectName, type NamesOf, pickOptions, refuseUnknown } from "../arguments.js";
import { methodOf, readAdapterConfig } from "../attach/adapter_files.js";
import { attach } from "../attach/attach.js";
import { CLASSES_FILE, type ClassFields, classNames, readClasses } from "../attach/class_names.js";
import { nodeFiles } from "../hub/files.js";
import type { ResolveOptions } from "../hub/resolve.js";
import { resolveFolder, resolveNames } from "../hub/resolve.js";
import type { AdapterConfig, Method } from "../methods/method.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import { freeMemory, parseBytes } from "../plan/memory/sizes.js";
import type { StoredCodes, TableRow } from "../plan/memory/table.js";
import { codesIn, memoryTable, smallestBudget, storedIn } from "../plan/memory/table.js";
import { isTaskType, taskOf } from "../tasks/registry.js";
import { inputOf, inputsOf } from "../trace/inputs.js";
import type { Inventory } from "../trace/trace.js";
import { countParameters } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { takeInventory } from "../trace/write.js";
import { vocabularyOfAdapter } from "../weights/resized_vocabulary.js";
import { type Words, words } from "../words.js";
import type { PretrainedConfig } from "./auto_config.js";
import { AutoConfig } from "./auto_config.js";
import { labelsOfAdapter } from "./head_size.js";
import { specOf } from "./spec.js";

/** Tokens of a row where nothing is said, if the model takes as many; and of its target. */
const LENGTH = 512;
const TARGET_LENGTH = 128;
const DIMS = { samples: 160_000, height: 224, width: 224 };

/** Sizes of a training step whose memory is asked for. */
export interface StepSizes {
  /** Rows of a batch. @default 8 */
  readonly batchSize?: number | undefined;
  /** Tokens of a row. @default 512, or all that the model takes where that is less */
  readonly length?: number | undefined;
  /**
   * Lengths of what a model reads that is no text: samples of a clip, height and width of a picture.
   * @default 10 seconds of sound, a picture of 224 by 224
   */
  readonly dims?: Readonly<Record<string, number>> | undefined;
  /** Target tokens of a row, for models that learn texts of clips, and encoder-decoders. @default 128 */
  readonly targetLength?: number | undefined;
  /** What the step may take: bytes, or a size as "4GB". @default what is free */
  readonly maxMemory?: number | string | undefined;
}

/** Options of `inspect`. */
export interface InspectOptions extends Omit<ResolveOptions, "files"> {
  /** What the model is for. @default what its config.json was made for */
  readonly taskType?: TaskType | undefined;
  /** A method that is put on the model, to see what it would train. @default none */
  readonly adapter?: AdapterConfig | undefined;
  /** Sizes of a training step to estimate; {} is one of the default sizes. @default no estimate */
  readonly memory?: StepSizes | undefined;
}

/** A linear layer, an embedding or a convolution. */
export interface InspectedLayer {
  /** Its name as transformers has it, which `targetModules` matches. */
  readonly path: string;
  /**
   * [outDim, inDim] of a linear layer, [vocab, dim] of an embedding, [out, in / groups, ...kernel] of a
   * convolution.
   */
  readonly shape: readonly number[];
  /** Whether the method that was asked for adapts it. */
  readonly isTarget: boolean;
}

/** What a method would train of a model. */
export interface InspectedAdapter {
  /** The method's name: "lora". */
  readonly method: string;
  /** Parameters that train. */
  readonly trainable: number;
  /** Parameters of the model together with those that the method adds. */
  readonly total: number;
  /** Bytes of the adapter's file. */
  readonly bytes: number;
  /** What to know of this method on this model. */
  readonly warnings: readonly Words[];
}

/** What a training step takes in each weight format and plan. */
export interface InspectedMemory {
  /** Bytes that the step may take. */
  readonly budget: number;
  /** What the checkpoint is stored in. */
  readonly stored: "f32" | "f16" | "bf16";
  /**
   * How its layers are quantized, as config.json says, and the row of the table that they take by themselves;
   * undefined: they are not.
   */
  readonly codes: StoredCodes | undefined;
  /** The sizes that were counted: rows, tokens of a row, target tokens of a row (encoder-decoders). */
  readonly batchSize: number;
  /** undefined: the model reads no tokens. */
  readonly length: number | undefined;
  /** Other lengths of a row, by their names. */
  readonly dims: Readonly<Record<string, number>>;
  readonly targetLength: number | undefined;
  /** A row for each weight format. */
  readonly table: readonly TableRow[];
  /** The smallest budget, in bytes, that some format and plan would do with. */
  readonly smallestBudget: number;
}

/** What a model is, counted from its config.json alone. */
export interface Inspection {
  readonly taskType: TaskType;
  /** The config as the model's architecture reads it. */
  readonly config: ModelConfig;
  /** Parameters of the model, each once where two layers are tied. */
  readonly parameters: number;
  /** Every linear layer and embedding, in the order of the model. */
  readonly layers: readonly InspectedLayer[];
  /** Names of layers that LoRA adapts where none are said; none: it must be told. */
  readonly defaultTargets: readonly string[];
  /** What the method that was asked for would train. */
  readonly adapter: InspectedAdapter | undefined;
  /** What a training step of the sizes that were asked for takes. */
  readonly memory: InspectedMemory | undefined;
}

const { files: _, ...hubNames } = resolveNames;
const inspectNames: NamesOf<InspectOptions> = { ...hubNames, taskType: {}, adapter: {}, memory: {} };
const sizeNames: NamesOf<StepSizes> = {
  batchSize: {},
  length: {},
  targetLength: {},
  maxMemory: {},
  dims: {},
};

/**
 * What a model is, what a method would train of it, and what a training step would take: counted from
 * config.json alone, which is all that is downloaded.
 * @throws "unknown-model", "unknown-task", "adapter-targets", "adapter-config", "batch", "option", "hub",
 * "file-format"
 * @example
 * ```ts
 * import { inspect, LoraConfig } from "peft.js";
 *
 * const { parameters, adapter, memory } = await inspect("google/flan-t5-large", {
 *   adapter: new LoraConfig({ r: 16 }),
 *   memory: { batchSize: 4, length: 256, maxMemory: "8GB" },
 * });
 * console.log(parameters, adapter?.trainable, memory?.table[0]?.auto?.plan.name);
 * ```
 */
export async function inspect(nameOrFolder: string, options: InspectOptions = {}): Promise<Inspection> {
  expectName("inspect", nameOrFolder);
  refuseUnknown("inspect", options, inspectNames);
  refuseUnknown("inspect", options.memory ?? {}, sizeNames);
  const read = await AutoConfig.fromPretrained(nameOrFolder, pickOptions(options, hubNames));
  const taskType = options.taskType ?? read.taskType ?? "FEATURE_EXTRACTION";
  const spec = specOf(read.json, taskType, `${nameOrFolder}/config.json`);
  const inventory = takeInventory(spec);
  const { adapter: method, memory } = options;
  const attached =
    method && attach("default", methodOf(method.peftType), method, spec, inventory, { seed: 0 });
  const parameters = countParameters(inventory);
  return {
    taskType,
    config: spec.config,
    parameters,
    layers: layersOf(inventory, attached?.adapter),
    defaultTargets: spec.architecture.roles.targets ?? [],
    adapter: attached && {
      method: attached.adapter.method?.name ?? "",
      trainable: attached.adapter.size,
      total: parameters + attached.adapter.addedSize,
      bytes: 4 * attached.adapter.size,
      warnings: attached.warnings.map((warning) => words`${warning}`),
    },
    memory: memory && memoryOf({ spec, inventory }, attached?.adapter, read, memory),
  };
}

function layersOf(
  { linears, embeddings, convs, weights }: Inventory,
  adapter: Adapter | undefined,
): InspectedLayer[] {
  const isTarget = (path: string): boolean => adapter?.layers.has(path) ?? false;
  return [
    ...[...linears.values()].map(({ path, outDim, inDim }) => ({
      path,
      shape: [outDim, inDim] as const,
      isTarget: isTarget(path),
    })),
    ...[...embeddings.values()].map(({ path, vocab, dim }) => ({
      path,
      shape: [vocab, dim] as const,
      isTarget: isTarget(path),
    })),
    ...[...convs.values()].map(({ path, weight }) => ({
      path,
      shape: weights.get(weight) ?? [],
      isTarget: isTarget(path),
    })),
  ];
}

function memoryOf(
  model: { readonly spec: ModelSpec; readonly inventory: Inventory },
  adapter: Adapter | undefined,
  { json }: PretrainedConfig,
  { batchSize = 8, length, targetLength = TARGET_LENGTH, maxMemory, dims: given }: StepSizes,
): InspectedMemory {
  const budget = maxMemory === undefined ? freeMemory() : parseBytes(maxMemory);
  const { spec, inventory } = model;
  const inputs = Object.values(inputsOf(spec));
  const tokens = length ?? Math.min(LENGTH, inventory.positions ?? LENGTH);
  const seq = inputOf(inputsOf(spec), "tokens") === undefined ? undefined : tokens;
  const named = inputs.flatMap(({ shape }) => shape({ batch: 1, length: 1, virtual: 0, past: 0 }));
  const all = Object.entries({ ...DIMS, ...given }).filter(([name]) => named.includes(name));
  const dims = Object.fromEntries(all);
  const stored = storedIn(json);
  const adapters = adapter === undefined ? [] : [adapter];
  const shape = {
    ...{ adapters, batch: batchSize, dims, target: targetLength },
    ...(seq === undefined ? {} : { seq }),
  };
  const table = memoryTable(model, shape, { stored, budget });
  return {
    budget,
    stored,
    codes: codesIn(json),
    batchSize,
    length: seq,
    dims,
    targetLength: taskOf(spec.task).labels === "target" ? targetLength : undefined,
    table,
    smallestBudget: smallestBudget(table),
  };
}

/** Options of `inspectAdapter`. */
export interface InspectAdapterOptions extends Omit<ResolveOptions, "files"> {
  /**
   * The base's config, to find what the adapter's own head and embeddings are sized for.
   * @default sizes are not looked for
   */
  readonly base?: PretrainedConfig | undefined;
  /** What the model is for. @default what the adapter was trained for, else what the base was made for */
  readonly taskType?: TaskType | undefined;
}

/** What an adapter's files say of it. */
export interface AdapterInspection {
  /** adapter_config.json: its method, its base's name, its task. */
  readonly config: AdapterConfig;
  /** Labels of the head that the adapter brings; undefined: it brings none. */
  readonly numLabels: number | undefined;
  /** Names of those labels, in the order of their ids; undefined: nobody named them. */
  readonly labels: readonly string[] | undefined;
  /**
   * Tokens of the embedding or head that the adapter brings; undefined: it brings none, or of the base's
   * size.
   */
  readonly vocabSize: number | undefined;
  /** Fields of config.json that its base is to be loaded with: { num_labels: 3, id2label: { ... } }. */
  readonly baseFields: Readonly<Record<string, unknown>>;
}

const adapterNames: NamesOf<InspectAdapterOptions> = { ...hubNames, base: {}, taskType: {} };

/**
 * What an adapter is, and how its base must be loaded for it: a head with as many labels, a vocabulary of
 * that size. Without `base`, adapter_config.json is all that is read.
 * @throws "unknown-method", "adapter-config", "file-format", "hub"
 * @example
 * ```ts
 * import { AutoConfig, AutoModelForSequenceClassification, inspectAdapter, PeftModel } from "peft.js";
 *
 * const name = (await inspectAdapter("out")).config.baseModelNameOrPath ?? "bert-base-uncased";
 * const { baseFields } = await inspectAdapter("out", { base: await AutoConfig.fromPretrained(name), taskType: "SEQ_CLS" });
 * const base = await AutoModelForSequenceClassification.fromPretrained(name, { config: baseFields });
 * const model = await PeftModel.fromPretrained(base, "out");
 * // AutoPeftModelForSequenceClassification does all of this
 * ```
 */
export async function inspectAdapter(
  nameOrFolder: string,
  options: InspectAdapterOptions = {},
): Promise<AdapterInspection> {
  expectName("inspectAdapter", nameOrFolder);
  refuseUnknown("inspectAdapter", options, adapterNames);
  const { base } = options;
  const hub = pickOptions(options, hubNames);
  const files = base === undefined ? { files: ["adapter_config.json", CLASSES_FILE] } : {};
  const folder = await resolveFolder(nameOrFolder, { ...hub, ...files });
  const { config, method } = await readAdapterConfig(folder);
  const classes = (await readClasses(folder)) ?? {};
  const labels = classNames(classes);
  const plain = { config, labels, numLabels: undefined, vocabSize: undefined, baseFields: {} };
  if (base === undefined) return plain;
  const trained = isTaskType(config.taskType) ? config.taskType : undefined;
  const task = options.taskType ?? trained ?? base.taskType ?? "FEATURE_EXTRACTION";
  const spec = specOf(base.json, task, nodeFiles.join(base.name, "config.json"));
  const tokens = (await vocabularyOfAdapter(folder, spec)) ?? tokensBeyond(method, config, spec);
  const vocabSize = tokens === spec.config.vocabSize ? undefined : tokens;
  const { isPerLabel } = taskOf(task).head;
  const numLabels = isPerLabel ? await labelsOfAdapter(folder, base.json, task) : undefined;
  const head = isPerLabel ? headFields(classes, numLabels) : {};
  const baseFields = { ...head, ...(vocabSize === undefined ? {} : { vocab_size: vocabSize }) };
  return { ...plain, numLabels, vocabSize, baseFields };
}

/** How many tokens a base needs for those whose rows an adapter trains; undefined: it has them. */
function tokensBeyond(method: Method, adapter: AdapterConfig, { config }: ModelSpec): number | undefined {
  const trained = [...(method.layers?.tokens?.(adapter)?.values() ?? [])].flat();
  const needed = trained.reduce((most, id) => Math.max(most, id + 1), 0);
  return needed > config.vocabSize ? needed : undefined;
}

/** Names for another number of labels would contradict the head: those of the base, too. */
function headFields(classes: ClassFields, count: number | undefined): ClassFields {
  const named = classNames(classes);
  if (count === undefined || named?.length === count)
    return { ...classes, ...(named && { num_labels: named.length }) };
  const { problem_type } = classes;
  return {
    id2label: undefined,
    label2id: undefined,
    num_labels: count,
    ...(problem_type ? { problem_type } : {}),
  };
}
