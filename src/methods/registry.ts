import { Registry } from "../registry.js";
import { methods as shipped } from "./index.js";
import type { AdapterConfig, Method } from "./method.js";

/** Methods by their `peft_type` and by their name on the command line. */
export const methods: Registry<Method> = new Registry("method", shipped, namesOf);

function namesOf({ name, config }: Method): readonly unknown[] {
  return [name, config?.peftType];
}

/**
 * Adds a method: its configs go on models, and its adapters load, from then on.
 * @throws "registered" where its `peft_type` or name is known
 * @example
 * ```ts
 * import { type Method, registerMethod } from "peft.js";
 *
 * declare const myMethod: Method; // see docs/extending.md
 * registerMethod(myMethod);
 * ```
 */
export function registerMethod<C extends AdapterConfig>(method: Method<C>): void {
  methods.register(method as unknown as Method);
}
