import type { OptionReader } from "./checks.js";
import type { Json, Selection } from "./method.js";
import type { SelectionOptions, TargetOptions } from "./selection.js";
import { readBlockNumbers, readTargets } from "./selection.js";
import type { CommonOptions } from "./shared_options.js";
import { CommonConfig, commonFields } from "./shared_options.js";

/** What the configs of methods have that choose layers by name. */
export abstract class TargetConfig extends CommonConfig implements TargetOptions {
  readonly targetModules: string | readonly string[] | undefined;
  readonly excludeModules: string | readonly string[] | undefined;

  constructor(read: OptionReader) {
    super(read);
    const targets = readTargets(read);
    this.targetModules = targets.targetModules;
    this.excludeModules = targets.excludeModules;
  }
}

/** Options of every method that chooses layers by name and number. */
export interface LayerOptions extends CommonOptions, SelectionOptions {}

/** What their configs have. */
export abstract class LayerConfig extends TargetConfig implements Selection {
  readonly layersToTransform: number | readonly number[] | undefined;
  readonly layersPattern: string | readonly string[] | undefined;

  constructor(read: OptionReader) {
    super(read);
    const blocks = readBlockNumbers(read, this);
    this.layersToTransform = blocks.layersToTransform;
    this.layersPattern = blocks.layersPattern;
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
