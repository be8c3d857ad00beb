import type { TaskType } from "../task.js";
import type { OptionReader } from "./checks.js";
import type { Json, Selection } from "./method.js";
import type { SelectionOptions } from "./selection.js";
import { readSelection } from "./selection.js";
import type { Common, CommonOptions } from "./shared_options.js";
import { commonFields, readCommon } from "./shared_options.js";

/** Options of every method that adapts layers by name. */
export interface LayerOptions extends CommonOptions, SelectionOptions {}

/** What their configs have. */
export abstract class LayerConfig implements Common, Selection {
  readonly taskType: TaskType | undefined;
  readonly baseModelNameOrPath: string | undefined;
  readonly revision: string | undefined;
  readonly modulesToSave: readonly string[] | undefined;
  readonly targetModules: string | readonly string[] | undefined;
  readonly excludeModules: string | readonly string[] | undefined;
  readonly layersToTransform: number | readonly number[] | undefined;
  readonly layersPattern: string | readonly string[] | undefined;

  constructor(read: OptionReader) {
    const common = readCommon(read);
    this.taskType = common.taskType;
    this.baseModelNameOrPath = common.baseModelNameOrPath;
    this.revision = common.revision;
    this.modulesToSave = common.modulesToSave;
    const selection = readSelection(read);
    this.targetModules = selection.targetModules;
    this.excludeModules = selection.excludeModules;
    this.layersToTransform = selection.layersToTransform;
    this.layersPattern = selection.layersPattern;
  }
}

/** Their fields in adapter_config.json. */
export function layerFields(peftType: string): Record<string, Json> {
  return {
    ...commonFields(peftType),
    target_modules: null,
    exclude_modules: null,
    layers_to_transform: null,
    layers_pattern: null,
  };
}
