import { expectName, pickOptions, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { TaskType } from "../models/model.js";
import { toCode, words } from "../words.js";
import { hubNames, type LoadAdapterOptions, loadNames as loadAdapterNames } from "./adapter_options.js";
import { AutoConfig, type ConfigOptions, type PretrainedConfig } from "./auto_config.js";
import { type LoadOptions, loadNames, PreTrainedModel } from "./base_model.js";
import { inspectAdapter } from "./inspect.js";
import { PeftModel } from "./peft_model.js";

/**
 * How an adapter is loaded together with its base. Those of the Hub are for both; the revision is the
 * adapter's.
 */
export interface AutoPeftOptions extends LoadOptions, LoadAdapterOptions {
  /** Where the base is. @default as the adapter's adapter_config.json names it */
  readonly base?: string | undefined;
}

/** Loads adapters for one task, each with the base that it was trained on. */
export interface AutoPeftModelFor<T extends TaskType> {
  /**
   * Loads an adapter from a folder or the Hub, and the base that it names: with a head of its size, its
   * classes' names, its vocabulary. Reference: peft/auto.py
   * @throws "adapter-mismatch" where it was trained for another task, "unknown-method", "adapter-config",
   * "checkpoint", "file-format", "hub", "option", "engine"
   * @example
   * ```ts
   * import { AutoPeftModelForSequenceClassification } from "peft.js";
   *
   * await using model = await AutoPeftModelForSequenceClassification.fromPretrained("teams");
   * console.log(model.classNames);
   * ```
   */
  fromPretrained(nameOrFolder: string, options?: AutoPeftOptions): Promise<PeftModel<T>>;
}

/** The class that loads adapters for a task with their bases, by its name: also for a task of your own. */
export function autoPeftModelFor<T extends TaskType>(task: T): AutoPeftModelFor<T> {
  return { fromPretrained: (nameOrFolder, options = {}) => loadWithBase(task, nameOrFolder, options) };
}

/** Adapters on models that read a text and write another: SEQ_2_SEQ_LM. */
export const AutoPeftModelForSeq2SeqLM: AutoPeftModelFor<"SEQ_2_SEQ_LM"> = autoPeftModelFor("SEQ_2_SEQ_LM");
/** Adapters on models that continue a text: CAUSAL_LM. */
export const AutoPeftModelForCausalLM: AutoPeftModelFor<"CAUSAL_LM"> = autoPeftModelFor("CAUSAL_LM");
/** Adapters on models that label a text or give it a number: SEQ_CLS. */
export const AutoPeftModelForSequenceClassification: AutoPeftModelFor<"SEQ_CLS"> =
  autoPeftModelFor("SEQ_CLS");
/** Adapters on models that label each word: TOKEN_CLS. */
export const AutoPeftModelForTokenClassification: AutoPeftModelFor<"TOKEN_CLS"> =
  autoPeftModelFor("TOKEN_CLS");
/** Adapters on models that mark the answer in a text: QUESTION_ANS. */
export const AutoPeftModelForQuestionAnswering: AutoPeftModelFor<"QUESTION_ANS"> =
  autoPeftModelFor("QUESTION_ANS");
/** Adapters on models without a head: FEATURE_EXTRACTION. */
export const AutoPeftModelForFeatureExtraction: AutoPeftModelFor<"FEATURE_EXTRACTION"> =
  autoPeftModelFor("FEATURE_EXTRACTION");

async function loadWithBase<T extends TaskType>(
  task: T,
  adapter: string,
  options: AutoPeftOptions,
): Promise<PeftModel<T>> {
  expectName("fromPretrained", adapter);
  refuseUnknown("fromPretrained", options, { ...loadNames, ...loadAdapterNames, base: {} });
  const hub = pickOptions(options, hubNames);
  const ofBase = { ...hub, revision: undefined };
  const read = await baseOfAdapter(adapter, { ...hub, base: options.base, taskType: task });
  const { baseFields } = await inspectAdapter(adapter, { ...hub, base: read, taskType: task });
  const fields = { ...baseFields, ...options.config };
  const base = await PreTrainedModel.load(task, read.name, {
    ...pickOptions(options, loadNames),
    ...ofBase,
    config: fields,
  });
  try {
    return await PeftModel.fromPretrained(base, adapter, pickOptions(options, loadAdapterNames));
  } catch (error) {
    await base.close();
    throw error;
  }
}

/** Which base an adapter is for. */
export interface AdapterBaseOptions extends ConfigOptions {
  /** Where the base is. @default as the adapter's adapter_config.json names it */
  readonly base?: string | undefined;
  /** What the adapter must have been trained for. @default anything */
  readonly taskType?: TaskType | undefined;
}

/**
 * The config of an adapter's base, found as its adapter_config.json names it.
 * @throws "adapter-mismatch" for an adapter of another task, "adapter-config" where it names no base, "hub",
 * "file-format"
 * @example
 * ```ts
 * import { baseOfAdapter } from "peft.js";
 *
 * console.log((await baseOfAdapter("out")).name);
 * ```
 */
export async function baseOfAdapter(
  adapter: string,
  { base, taskType, ...hub }: AdapterBaseOptions = {},
): Promise<PretrainedConfig> {
  const { config } = await inspectAdapter(adapter, hub);
  if (taskType !== undefined && (config.taskType ?? taskType) !== taskType)
    throw otherTask(adapter, `${config.taskType}`, taskType);
  const name = base ?? config.baseModelNameOrPath;
  if (name === undefined) throw noBase(adapter);
  return AutoConfig.fromPretrained(name, { ...hub, revision: undefined }).catch((error: unknown) => {
    throw base === undefined ? lostBase(adapter, name, error) : error;
  });
}

const sayBase = toCode('name the base: base: "FOLDER_OR_HUB_ID"', "add --model FOLDER_OR_HUB_ID");

function otherTask(adapter: string, taskType: string, task: TaskType): PeftError {
  return new PeftError("adapter-mismatch", {
    what: `The adapter "${adapter}" was trained for ${taskType}, not for ${task}.`,
    why: `its adapter_config.json says so (task_type), and a head for ${task} would be untrained.`,
    fix: `load it for its own task: autoPeftModelFor("${taskType}").fromPretrained(${JSON.stringify(adapter)}).`,
  });
}

function noBase(adapter: string): PeftError {
  return new PeftError("adapter-config", {
    what: `The adapter "${adapter}" does not name its base.`,
    why: "its adapter_config.json has no base_model_name_or_path.",
    fix: words`${sayBase}.`,
  });
}

/** The base that an adapter names is often a folder of the machine that it was trained on. */
function lostBase(adapter: string, name: string, error: unknown): unknown {
  if (!(error instanceof PeftError) || (error.code !== "hub" && error.code !== "file-format")) return error;
  return new PeftError(error.code, {
    what: `The base "${name}" of the adapter "${adapter}" cannot be loaded.`,
    why: `the adapter's adapter_config.json names it (base_model_name_or_path), as it was called where it was trained. ${error.what} ${error.why}`,
    fix: words`say where the base is here: ${sayBase}.`,
    cause: error,
  });
}
