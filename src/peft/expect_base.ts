import { expectArgument } from "../arguments.js";
import { PreTrainedModel } from "./base_model.js";

/** Throws "option" where an argument is no base model: a PeftModel, a promise of one. */
export function expectBase(call: string, base: unknown): void {
  expectArgument(call, base, {
    is: base instanceof PreTrainedModel,
    wants: "a base model",
    fix:
      typeof base === "object" && base !== null && "activeAdapters" in base
        ? "it has adapters already: add one more with addAdapter() or loadAdapter()."
        : "load one: await AutoModelForCausalLM.fromPretrained(name).",
  });
}
