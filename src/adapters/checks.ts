import { PeftError } from "../errors.js";
import { at } from "../present.js";
import type { TaskType } from "../task.js";
import { option, toCode, words } from "../words.js";
import type { Adapter } from "./adapter.js";

/** In place of an adapter's name: none. */
export const BASE = "__base__";

/** Names that an adapter can have. Throws "adapter-name". */
export function checkName(name: string, taken: ReadonlySet<string>): void {
  const isPath = /[/\\]|^\.*$/.test(name);
  const isTaken = taken.has(name);
  if (!isPath && !isTaken && name !== BASE) return;
  const path = isPath ? "adapters are saved in folders of their names." : `"${BASE}" means no adapter.`;
  throw new PeftError("adapter-name", {
    what: `The adapter name "${name}" cannot be used.`,
    why: isTaken ? "the model has an adapter of this name." : path,
    fix: isTaken ? "choose another name, or deleteAdapter() first." : "choose another name.",
  });
}

/** An adapter for a task whose head cannot stand over a base of another one; `why` tells what is lacking. */
export function otherTask(adapter: string, base: TaskType, why: string): PeftError {
  return new PeftError("adapter-config", {
    what: `The adapter is for ${adapter}, the model was loaded for ${base}.`,
    why,
    fix: words`leave ${option("taskType")} out${toCode(`, or load the base with the class for ${adapter}`)}.`,
  });
}

/** Trained biases of the base can belong to one adapter only. Throws "adapter-config". */
export function checkBias(added: Adapter, others: readonly Adapter[]): void {
  const trainsBias = (a: Adapter): boolean => (a.method?.layers?.bias?.(a.config) ?? "none") !== "none";
  if (!(trainsBias(added) && others.some(trainsBias))) return;
  throw new PeftError("adapter-config", {
    what: `The adapter "${added.name}" trains biases of the base, and another adapter does so already.`,
    why: "a bias can have one value at a time; the model is as it was.",
    fix: words`use ${option("bias", "none")} for all but one adapter.`,
  });
}

/** Throws "training" for adapters that take no part in the computation, or whose parameters are not there. */
export function checkTrainable(adapter: Adapter, merged: readonly Adapter[]): void {
  if (adapter.prompt === "stored")
    throw new PeftError("training", {
      what: `The adapter "${adapter.name}" cannot be trained further.`,
      why: "its file holds the prompt's final rows only, not the encoder that made them.",
      fix: "train it here from the start (peft.js saves the encoder too), or use a method without an encoder.",
    });
  if (merged.includes(adapter))
    throw new PeftError("training", {
      what: `The adapter "${adapter.name}" is merged.`,
      why: "a merged adapter takes no part in the computation any more.",
      fix: "call unmergeAdapter() first.",
    });
}

/**
 * Adapters that cannot be active at once: two prompts, or two tensors for one weight of the base. Throws
 * "adapter-config".
 */
export function checkTogether(adapters: readonly Adapter[]): void {
  const prompts = adapters.filter((a) => a.method?.prompt !== undefined);
  const all = adapters.flatMap((a) => [...a.replaced.keys()]);
  const twice = [...new Set(all.filter((name, i) => all.indexOf(name) !== i))];
  const isOfTwo = new Set(adapters.map((a) => a.task?.task)).size > 1;
  if (prompts.length < 2 && twice.length === 0 && !isOfTwo) return;
  throw new PeftError("adapter-config", {
    what: `The adapters ${adapters.map((a) => a.name).join(", ")} cannot be active together.`,
    why: isOfTwo
      ? `they are for different tasks: ${adapters.map((a) => a.task?.task ?? "that of the base").join(", ")}.`
      : twice.length > 0
        ? `each has a tensor of its own in place of ${twice.slice(0, 5).join(", ")}.`
        : "each brings virtual tokens, and there is one place for them.",
    fix: `activate one of them: setAdapter("${at(adapters, 0).name}").`,
  });
}
