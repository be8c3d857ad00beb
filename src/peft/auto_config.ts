import { expectName, type NamesOf, refuseUnknown } from "../arguments.js";
import { classNames } from "../attach/class_names.js";
import { readJsonObject } from "../hub/json.js";
import type { ResolveOptions } from "../hub/resolve.js";
import { resolveFolder, resolveNames } from "../hub/resolve.js";
import type { TaskType } from "../models/model.js";
import { taskOfClass, tasks } from "../tasks/registry.js";

/** A model's config.json, and what it says of the model's use. */
export interface PretrainedConfig {
  /** The Hub id or folder that it was read from. */
  readonly name: string;
  /** config.json as it stands, in snake_case. */
  readonly json: Readonly<Record<string, unknown>>;
  /** What the model was made for, by its class; undefined: a bare model, or a class that no task is for. */
  readonly taskType: TaskType | undefined;
  /**
   * Names of the classes that its head tells apart, in the order of their ids; undefined: it has none, or
   * LABEL_0, LABEL_1, ...
   */
  readonly labels: readonly string[] | undefined;
}

/** Where a config.json comes from. */
export type ConfigOptions = Omit<ResolveOptions, "files">;

const { files: _, ...configNames } = resolveNames;

/** Reads config.json of a Hub repository or a folder, and nothing else of it. */
export const AutoConfig: {
  /**
   * @throws "hub", "file-format"
   * @example
   * ```ts
   * import { AutoConfig } from "peft.js";
   *
   * const { json, taskType, labels } = await AutoConfig.fromPretrained("google/flan-t5-large");
   * console.log(json["model_type"], taskType, labels); // t5 SEQ_2_SEQ_LM undefined
   * ```
   */
  fromPretrained(nameOrFolder: string, options?: ConfigOptions): Promise<PretrainedConfig>;
} = {
  async fromPretrained(nameOrFolder, options = {}) {
    expectName("AutoConfig.fromPretrained", nameOrFolder);
    refuseUnknown("AutoConfig.fromPretrained", options, configNames satisfies NamesOf<ConfigOptions>);
    const folder = await resolveFolder(nameOrFolder, { ...options, files: ["config.json"] });
    const json = await readJsonObject(`${folder}/config.json`);
    return { name: nameOrFolder, json, taskType: taskIn(json), labels: classNames(json) };
  },
};

function taskIn(json: Readonly<Record<string, unknown>>): TaskType | undefined {
  const name = [json["architectures"]].flat()[0];
  const byClass = typeof name === "string" ? taskOfClass(name) : undefined;
  if (byClass !== undefined || json["is_encoder_decoder"] !== true) return byClass;
  return tasks.all.find(({ labels }) => labels === "target")?.name;
}
