import { configClass } from "./config.js";
import type { LNTuningOptions, LNTuningValues } from "./config_types.js";
import type { ConfigClass, Method, MethodTable } from "./method.js";
import { saving, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
};

export type { LNTuningOptions };
export type LNTuningConfig = LNTuningValues;
/**
 * Config of LN tuning (arXiv 2312.11420). Reference: peft/tuners/ln_tuning/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, LNTuningConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new LNTuningConfig());
 * ```
 */
export const LNTuningConfig: ConfigClass<LNTuningValues, LNTuningOptions> = configClass(
  "LN_TUNING",
  "LNTuningConfig",
  {
    options,
  },
);

/** Trains copies of the norms. arXiv 2312.11420. Reference: peft/tuners/ln_tuning/layer.py */
export const lnTuning: Method<LNTuningConfig> = {
  name: "ln-tuning",
  config: LNTuningConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.norms,
    copies: "ln_tuning_layers",
  },
};
