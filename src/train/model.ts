import { expectArgument } from "../arguments.js";
import type { TrainableModel } from "../peft/trainable.js";

/** Throws "option" where an argument is no model: a promise of one, a name. */
export function expectModel(call: string, model: unknown): asserts model is TrainableModel {
  expectArgument(call, model, {
    is: typeof (model as Partial<TrainableModel> | undefined)?.forwardBackward === "function",
    wants: "a model",
    fix: "load one: await AutoModelForCausalLM.fromPretrained(name), and getPeftModel(model, config) for an adapter.",
  });
}
