import type { PreTrainedModel } from "./base_model.js";

/**
 * For those who type it from habit: returns the model as it is. The base is frozen, norms and heads compute
 * in f32, gradients reach the adapters, and blocks are computed again on the way back where memory asks for
 * it (`plan`, `maxMemory`). Reference: peft/utils/other.py
 */
export function prepareModelForKbitTraining<M extends PreTrainedModel>(model: M): M {
  return model;
}
