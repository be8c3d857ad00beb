import { refuseUnknown } from "../arguments.js";
import type { AdapterConfig } from "../methods/method.js";
import type { TaskType } from "../models/model.js";
import { adapterNames, type PeftModelOptions } from "./adapter_options.js";
import type { PreTrainedModel } from "./base_model.js";
import { expectBase } from "./expect_base.js";
import { PeftModel } from "./peft_model.js";

/**
 * Puts a new adapter on a base model. Reference: peft/mapping_func.py
 * @throws "adapter-targets" where no layer matches, "adapter-config" for what the model does not allow,
 * "adapter-name"
 * @example
 * ```ts
 * import { AutoModelForCausalLM, getPeftModel, LoraConfig } from "peft.js";
 *
 * const base = await AutoModelForCausalLM.fromPretrained("HuggingFaceTB/SmolLM2-135M");
 * const model = getPeftModel(base, new LoraConfig({ taskType: "CAUSAL_LM", r: 8, loraAlpha: 16 }));
 * model.printTrainableParameters();
 * ```
 */
export function getPeftModel<T extends TaskType>(
  base: PreTrainedModel<T>,
  config: AdapterConfig,
  options: PeftModelOptions = {},
): PeftModel<T> {
  refuseUnknown("getPeftModel", options, { ...adapterNames, adapterName: {} });
  expectBase("getPeftModel", base);
  const { adapterName = "default", ...others } = options;
  const model = new PeftModel(base);
  model.addAdapter(adapterName, config, others);
  return model;
}
