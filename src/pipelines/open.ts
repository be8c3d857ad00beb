import { type NamesOf, pickOptions } from "../arguments.js";
import { tokenizerFor } from "../data/tokenizer_for.js";
import { nodeFiles } from "../hub/files.js";
import { resolveFolder } from "../hub/resolve.js";
import { hubNames } from "../peft/adapter_options.js";
import { AutoConfig } from "../peft/auto_config.js";
import { autoPeftModelFor } from "../peft/auto_peft.js";
import { type LoadOptions, loadNames, PreTrainedModel } from "../peft/base_model.js";
import { inspectAdapter } from "../peft/inspect.js";
import type { TrainableModel } from "../peft/trainable.js";
import type { TaskType } from "../task.js";
import { problemOf } from "../tasks/problem.js";
import { taskOf, taskOfClass } from "../tasks/registry.js";
import type { TokenizerOptions } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { option, type Words, words } from "../words.js";
import type { Opened } from "./definition.js";
import { sentenceFiles } from "./sentence_transformers.js";

/** How a pipeline's model is loaded. */
export interface PipelineOptions extends LoadOptions {
  /** Where an adapter's base is. @default as the adapter's adapter_config.json names it */
  readonly base?: string | undefined;
  /** @default the model's own */
  readonly tokenizer?: Tokenizer | undefined;
}

export const openNames: NamesOf<PipelineOptions> = { ...loadNames, base: {}, tokenizer: {} };

/** What a model, or an adapter, is for, by its files; undefined: they do not say it. */
export async function taskOfModel(
  given: string | TrainableModel,
  options: PipelineOptions,
): Promise<string | undefined> {
  if (typeof given !== "string") return given.taskType;
  const hub = pickOptions(options, hubNames);
  const folder = await resolveFolder(given, { ...hub, files: ["adapter_config.json", "config.json"] });
  if (!(await nodeFiles.exists(nodeFiles.join(folder, "adapter_config.json"))))
    return (await AutoConfig.fromPretrained(given, hub)).taskType;
  return (await inspectAdapter(given, hub)).config.taskType;
}

/**
 * Loads what a name stands for: an adapter with its base, or a model. A model that is given stays its
 * owner's.
 */
export async function openModel(
  task: TaskType,
  given: string | TrainableModel,
  options: PipelineOptions,
): Promise<Opened> {
  if (typeof given !== "string") return await opened(given, options, []);
  const { base, tokenizer: _, ...load } = options;
  const hub = pickOptions(options, hubNames);
  const files = ["adapter_config.json", "config.json", ...sentenceFiles];
  const folder = await resolveFolder(given, { ...hub, files });
  const isAdapter = await nodeFiles.exists(nodeFiles.join(folder, "adapter_config.json"));
  const model = isAdapter
    ? await autoPeftModelFor(task).fromPretrained(given, { ...load, ...(base === undefined ? {} : { base }) })
    : await PreTrainedModel.load(task, given, load);
  try {
    const plain: TrainableModel = model;
    return await opened(plain, options, isAdapter ? [folder] : [], isAdapter ? given : undefined);
  } catch (error) {
    await model.close();
    throw error;
  }
}

async function opened(
  model: TrainableModel,
  options: PipelineOptions,
  folders: readonly string[],
  adapter?: string,
): Promise<Opened> {
  const { base } = model;
  const hub = pickOptions(options, hubNames);
  const ofBase = adapter === undefined ? hub : { ...hub, revision: undefined };
  const tokenizer = options.tokenizer ?? (await tokenizerOf(model, { ...ofBase, adapter }));
  const own = await resolveFolder(base.name, { ...ofBase, files: ["config.json", ...sentenceFiles] });
  const said = new Set<string>();
  const warnOnce = (message: Words): void => {
    if (said.has(`${message}`)) return;
    said.add(`${message}`);
    base.warn(message);
  };
  warnOfHead(model, adapter, warnOnce);
  return {
    ...{ model, tokenizer, warnOnce, folders: [...folders, own] },
    maxLength: Math.min(
      tokenizer.modelMaxLength > 1e20 ? Number.POSITIVE_INFINITY : tokenizer.modelMaxLength,
      model.maxPositions,
    ),
    nameOf: (id) => model.classNames?.[id] ?? `LABEL_${id}`,
  };
}

/** Models of pictures have none, whatever they make of these. */
function tokenizerOf(model: TrainableModel, options: TokenizerOptions): Promise<Tokenizer> {
  const readsText = model.config.vocabSize > 0;
  return tokenizerFor(readsText ? model.taskType : "IMAGE_CLS", model.base.name, options);
}

/** Says where a head says nothing: it was never trained, or nobody named what it tells apart. */
function warnOfHead(
  model: TrainableModel,
  adapter: string | undefined,
  warn: (message: Words) => void,
): void {
  const { head } = taskOf(model.taskType);
  const [name] = [model.base.configJson["architectures"]].flat();
  const isTrained = typeof name !== "string" || taskOfClass(name) === model.taskType;
  if (model.adapterConfig === undefined && head.modules.length > 0 && !isTrained)
    warn(
      words`The head of "${model.base.name}" for ${model.taskType} is new (the checkpoint is a ${name}): what it says is random.`,
    );
  const isNumber = problemOf(model.config) === "regression";
  if (adapter !== undefined && head.isPerLabel && !isNumber && model.classNames === undefined)
    warn(
      words`"${adapter}" does not name its classes: they are LABEL_0, LABEL_1, ... Name them in its adapter_labels.json, or with ${option("config", { id2label: { 0: "no", 1: "yes" } })}.`,
    );
}
