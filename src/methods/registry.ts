import { Registry } from "../registry.js";
import { methods as shipped } from "./index.js";
import type { AdapterConfig, Method } from "./method.js";

/** Methods by their `peft_type` and by their name on the command line. */
export const methods: Registry<Method> = new Registry("method", shipped, namesOf);

function namesOf({ name, config }: Method): readonly unknown[] {
  return [name, config?.peftType];
}

/**
 * Adds a method: its configs go on models, and its adapters load, from then on. Throws "registered" where its `peft_type` or name
 * is known.
 * @example
 * registerMethod(myMethod); // a Method: see docs/extending.md
 * const model = getPeftModel(base, new MyConfig({ targetModules: ["q_proj"] }));
 */
export function registerMethod<C extends AdapterConfig>(method: Method<C>): void {
  methods.register(method as unknown as Method);
}
