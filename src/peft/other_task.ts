import type { Adapter, AdapterTask } from "../adapters/adapter.js";
import { otherTask } from "../adapters/checks.js";
import type { TaskType } from "../task.js";
import { headModules, taskOf } from "../tasks/registry.js";
import type { Inventory } from "../trace/trace.js";
import { type ModelSpec, takeInventory } from "../trace/write.js";
import type { AdaptedBase } from "./adapted_base.js";
import { specOf } from "./spec.js";

/** A model as an adapter reads it. */
export interface AdapterModel {
  readonly spec: ModelSpec;
  readonly inventory: Inventory;
  /** The adapter's task, where it is another than the base's. */
  readonly task: AdapterTask | undefined;
}

/**
 * A base as an adapter for `task` reads it: the same weights, under another head, which the adapter brings.
 * `fields`: those of config.json that its head follows; undefined: nobody said. Throws "adapter-config" where
 * the base has not all that lies below the head, or its architecture no such head.
 */
export function modelFor(
  { base }: Pick<AdaptedBase, "base">,
  task: TaskType,
  fields: Readonly<Record<string, unknown>> | undefined,
): AdapterModel {
  const { spec, inventory } = base.runtime.weights;
  if (task === spec.task) return { spec, inventory, task: undefined };
  if (taskOf(task).head.write(spec.architecture) === undefined)
    throw otherTask(task, spec.task, `a ${spec.config.modelType} model has no head for ${task}.`);
  if (fields === undefined && taskOf(task).head.isPerLabel)
    throw otherTask(task, spec.task, "a head for another task needs to know its labels: { numLabels: 1 }.");
  const read = specOf({ ...base.configJson, ...fields }, task);
  const config = { ...read.config, tied: spec.config.tied };
  const own = takeInventory({ ...read, config });
  const heads = headModules(task);
  const lacking = [...own.weights].filter(
    ([name, shape]) =>
      `${inventory.weights.get(name)}` !== `${shape}` && !heads.some((m) => `.${name}`.includes(`.${m}.`)),
  );
  if (lacking.length === 0) return { spec: { ...read, config }, inventory: own, task: { task, config } };
  const some = lacking.slice(0, 4).map(([name]) => name);
  throw otherTask(task, spec.task, `this base lacks ${some.join(", ")}${lacking.length > 4 ? ", ..." : ""}.`);
}

/** What an adapter is for. */
export function taskOfAdapter(adapter: Adapter | undefined, base: TaskType): TaskType {
  return adapter?.task?.task ?? base;
}
