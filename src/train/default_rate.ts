import type { LearningRate } from "../methods/method.js";
import { methods } from "../methods/registry.js";
import type { TrainableModel } from "../peft/trainable.js";

const OF_ADAPTERS: LearningRate = { value: 1e-3, from: "PEFT's guides" };
const OF_MODELS: LearningRate = { value: 5e-5, from: "the Trainer of transformers" };

/** The learning rate of a run that says none: the method's own, or that of most adapters. */
export function defaultRate({ adapterConfig }: Pick<TrainableModel, "adapterConfig">): LearningRate {
  if (adapterConfig === undefined) return OF_MODELS;
  return methods.find(adapterConfig.peftType)?.learningRate ?? OF_ADAPTERS;
}
