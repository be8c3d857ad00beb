import type { LearningRate, Method } from "../methods/method.js";

/** What trains a model: a method, or nothing but the optimizer. */
export interface TrainedBy {
  /** In words: "lora"; "all weights". */
  readonly name: string;
  /** The learning rate of a run that says none, and where it comes from. */
  readonly learningRate: LearningRate;
}

const OF_ADAPTERS: LearningRate = { value: 1e-3, from: "PEFT's guides" };
const OF_MODELS: LearningRate = { value: 5e-5, from: "the Trainer of transformers" };

/** What trains a model with an adapter of this method, or without one. */
export function trainedBy(method: Pick<Method, "name" | "learningRate"> | undefined): TrainedBy {
  if (method === undefined) return { name: "all weights", learningRate: OF_MODELS };
  const { name, learningRate } = method;
  return { name, learningRate: learningRate ?? OF_ADAPTERS };
}
