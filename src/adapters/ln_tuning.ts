import { OptionReader } from "./checks.js";
import { TargetConfig } from "./layer_config.js";
import type { AdapterConfig, Json, Method } from "./method.js";
import type { TargetOptions } from "./selection.js";
import type { CommonOptions } from "./shared_options.js";
import { commonFields } from "./shared_options.js";

/** Options of LN tuning: which norms train, by name. */
export interface LNTuningOptions extends CommonOptions, TargetOptions {}

const fields: Readonly<Record<string, Json>> = {
  ...commonFields("LN_TUNING"),
  target_modules: null,
  exclude_modules: null,
};

/** Config of LN tuning (arXiv 2312.11420). Throws "adapter-config". Reference: peft/tuners/ln_tuning/config.py */
export class LNTuningConfig extends TargetConfig implements AdapterConfig {
  readonly peftType = "LN_TUNING";

  constructor(options: LNTuningOptions = {}) {
    const read = new OptionReader("LNTuningConfig", options, fields);
    super(read);
    read.done();
  }
}

/** Trains copies of the norms. arXiv 2312.11420. Reference: peft/tuners/ln_tuning/layer.py */
export const lnTuning: Method<LNTuningConfig> = {
  peftType: "LN_TUNING",
  name: "ln-tuning",
  fields,
  floats: [],
  create: (options) => new LNTuningConfig(options as LNTuningOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.norms,
    copies: "ln_tuning_layers",
  },
};
