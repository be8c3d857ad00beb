import type { TaskType } from "../task.js";
import { taskTypes } from "../task.js";
import type { OptionReader } from "./checks.js";
import type { AdapterConfig, Json } from "./method.js";

/** Options of every method. */
export interface CommonOptions {
  /** What the model is for; decides which head is trained along. */
  taskType?: TaskType | undefined;
  /** The base's Hub id or folder, as the adapter's file names it. */
  baseModelNameOrPath?: string | undefined;
  /** The base's revision on the Hub. */
  revision?: string | undefined;
  /** Modules that train whole and are saved with the adapter. */
  modulesToSave?: readonly string[] | undefined;
  /** Accepted as Python has it; whether an adapter trains is said where it is loaded. */
  inferenceMode?: boolean | undefined;
}

/** The base of every config: the values of every method. */
export abstract class CommonConfig implements Omit<AdapterConfig, "peftType"> {
  readonly taskType: TaskType | undefined;
  readonly baseModelNameOrPath: string | undefined;
  readonly revision: string | undefined;
  readonly modulesToSave: readonly string[] | undefined;

  constructor(read: OptionReader) {
    this.taskType = readTask(read);
    this.baseModelNameOrPath = read.text("baseModelNameOrPath");
    this.revision = read.text("revision");
    this.modulesToSave = read.names("modulesToSave");
    read.flag("inferenceMode", false);
  }
}

function readTask(read: OptionReader): TaskType | undefined {
  const taskType = read.text("taskType");
  if (taskType !== undefined && !(taskTypes as readonly string[]).includes(taskType))
    read.fault(`taskType is "${taskType}".`, `the tasks are ${taskTypes.join(", ")}.`, {
      fix: 'for example taskType: "CAUSAL_LM".',
      code: "unknown-task",
    });
  return taskType as TaskType | undefined;
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
