import { PeftError } from "../errors.js";
import type { Checkpoint } from "../hub/checkpoint.js";
import { openAdapterWeights } from "../hub/checkpoint.js";
import type { TaskType } from "../models/model.js";
import { entry } from "../present.js";
import { taskOf } from "../tasks/registry.js";
import { takeInventory } from "../trace/write.js";
import { toCode, words } from "../words.js";
import type { PreTrainedModel } from "./base_model.js";
import { specOf } from "./spec.js";

/**
 * How many labels an adapter's own head has; undefined where it brings none. The base's config.json does not
 * say: its head was made for the adapter. Which weight the head is shows where one more label changes a
 * shape.
 */
export async function labelsOfAdapter(
  folder: string,
  json: Readonly<Record<string, unknown>>,
  task: TaskType,
): Promise<number | undefined> {
  const shapes = (labels: number): ReadonlyMap<string, readonly number[]> =>
    takeInventory(specOf({ ...json, id2label: undefined, num_labels: labels }, task)).weights;
  const [some, more] = [shapes(2), shapes(3)];
  const head = [...some].filter(([name, shape]) => `${shape}` !== `${more.get(name)}`);
  if (head.length === 0) return undefined;
  const file: Checkpoint = await openAdapterWeights(folder);
  for (const [name, shape] of head) {
    const stored = file.tensors.get(`base_model.model.${name}`);
    const axis = shape.findIndex((size, i) => size !== entry(more, name)[i]);
    if (stored !== undefined) return stored.shape[axis];
  }
  return undefined;
}

/** The class that loads an adapter for a task together with its base. */
function autoPeftName(task: TaskType): string {
  return `AutoPeftModel${taskOf(task).classEnds[0]}`;
}

/**
 * Throws "adapter-mismatch" where an adapter brings a head for another number of labels than the model has.
 */
export async function checkHead(
  folder: string,
  model: Pick<PreTrainedModel, "taskType" | "configJson" | "config" | "name">,
): Promise<void> {
  const { taskType, configJson, config } = model;
  if (!taskOf(taskType).head.isPerLabel) return;
  const count = await labelsOfAdapter(folder, configJson, taskType);
  if (count === undefined || count === config.numLabels) return;
  throw new PeftError("adapter-mismatch", {
    what: `The adapter in "${folder}" has a head for ${count} labels, the model one for ${config.numLabels}.`,
    why: "the base's config.json does not know the labels that the adapter was trained on.",
    fix: words`load the base with as many${toCode(`: ${autoPeftName(taskType)}.fromPretrained(${JSON.stringify(folder)}) does it, or fromPretrained(${JSON.stringify(model.name)}, { config: { num_labels: ${count} } })`)}.`,
  });
}
