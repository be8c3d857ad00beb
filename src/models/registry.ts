import { Registry } from "../registry.js";
import { architectures as shipped } from "./index.js";
import type { Architecture, ModelConfig, TextInputs } from "./model.js";

/** Architectures by the `model_type`s that they read. */
export const architectures: Registry<Architecture> = new Registry("model type", shipped, namesOf);

function namesOf({ modelTypes }: Architecture): readonly unknown[] {
  return modelTypes ?? [];
}

/**
 * Adds an architecture: checkpoints of its `model_type`s load from then on.
 * @throws "registered" where one of them is known
 * @example
 * ```ts
 * import { type Architecture, AutoModelForCausalLM, registerArchitecture } from "peft.js";
 *
 * declare const myDecoder: Architecture; // see docs/extending.md
 * registerArchitecture(myDecoder);
 * const mine = await AutoModelForCausalLM.fromPretrained("folder");
 * // its config.json says "model_type": "my_decoder"
 * ```
 */
export function registerArchitecture<C extends ModelConfig, X = TextInputs>(
  architecture: Architecture<C, X>,
): void {
  architectures.register(architecture as unknown as Architecture);
}
