import type { OptionReader } from "./checks.js";
import type { AdapterConfig, Json } from "./method.js";

export type TaskName =
  | "SEQ_CLS"
  | "SEQ_2_SEQ_LM"
  | "CAUSAL_LM"
  | "TOKEN_CLS"
  | "QUESTION_ANS"
  | "FEATURE_EXTRACTION";

const taskNames: readonly string[] = [
  "SEQ_CLS",
  "SEQ_2_SEQ_LM",
  "CAUSAL_LM",
  "TOKEN_CLS",
  "QUESTION_ANS",
  "FEATURE_EXTRACTION",
] satisfies TaskName[];

/** Options of every method. */
export interface CommonOptions {
  /** What the model is for; decides which head is trained along. */
  taskType?: TaskName | undefined;
  /** The base's Hub id or folder, as the adapter's file names it. */
  baseModelNameOrPath?: string | undefined;
  /** The base's revision on the Hub. */
  revision?: string | undefined;
  /** Modules that train whole and are saved with the adapter. */
  modulesToSave?: readonly string[] | undefined;
  /** Accepted as Python has it; whether an adapter trains is said where it is loaded. */
  inferenceMode?: boolean | undefined;
}

interface Common extends Omit<AdapterConfig, "peftType"> {
  readonly taskType: TaskName | undefined;
}

export function readCommon(options: OptionReader): Common {
  const taskType = options.text("taskType");
  if (taskType !== undefined && !taskNames.includes(taskType)) {
    options.fault(`taskType is "${taskType}".`, `the tasks are ${taskNames.join(", ")}.`, {
      fix: 'for example taskType: "CAUSAL_LM".',
      code: "unknown-task",
    });
  }
  options.flag("inferenceMode", false);
  return {
    taskType: taskType as TaskName | undefined,
    baseModelNameOrPath: options.text("baseModelNameOrPath"),
    revision: options.text("revision"),
    modulesToSave: options.names("modulesToSave"),
  };
}

/** Fields of every adapter_config.json. */
export function commonFields(peftType: string): Record<string, Json> {
  return {
    task_type: null,
    peft_type: peftType,
    auto_mapping: null,
    peft_version: "0.21.2",
    base_model_name_or_path: null,
    revision: null,
    inference_mode: false,
    modules_to_save: null,
  };
}

/** The same config with other values: what a method fills in from the model. */
export function withFields<C extends AdapterConfig>(c: C, changes: Partial<C>): C {
  return Object.assign(Object.create(Object.getPrototypeOf(c)), c, changes);
}
