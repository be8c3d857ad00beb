import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { formatAdapterConfig } from "../../src/attach/adapter_files.js";
import type { PeftModel } from "../../src/peft/peft_model.js";
import { classOf } from "../../src/tasks/registry.js";
import { inTemporaryFolder, json } from "./files.js";
import type { Check, KitTensor } from "./tensors.js";
import { equal, exact, readTensors } from "./tensors.js";

/**
 * Saves a loaded adapter again and compares with the folder it came from: keys, shapes, values, and both
 * files byte for byte.
 * `within`: what may be lost where the file is computed again (a prompt from its encoder).
 */
export async function checkSaved(
  model: PeftModel,
  name: string,
  source: string,
  within = 0,
): Promise<Check[]> {
  return inTemporaryFolder(async (folder) => {
    await model.savePretrained(folder, { selectedAdapters: [name] });
    const target = name === "default" ? folder : join(folder, name);
    const checks = await compareTensors(source, target, within);
    const [before, after] = [source, target].map((f) => readFileSync(join(f, "adapter_config.json"), "utf8"));
    checks.push(exact("saved.json", before === after, `${after}\nnot\n${before}`));
    checks.push(equal("saved.new json", newJson(model, name), settings(json(source, "adapter_config.json"))));
    return checks;
  });
}

const WEIGHTS = "adapter_model.safetensors";

async function compareTensors(source: string, target: string, within: number): Promise<Check[]> {
  if (!existsSync(join(source, WEIGHTS))) return [];
  const before = await readTensors(join(source, WEIGHTS));
  const after = await readTensors(join(target, WEIGHTS));
  const checks = [equal("saved.keys", [...after.keys()].sort(), [...before.keys()].sort())];
  for (const [key, t] of before) {
    const again = after.get(key);
    const same = again !== undefined && isSame(again, t, within);
    if (!same) checks.push(exact(`saved.${key}`, false, "another shape, or other values"));
  }
  const [a, b] = [source, target].map((f) => readFileSync(join(f, WEIGHTS)));
  if (within === 0) checks.push(exact("saved.bytes", Buffer.compare(a!, b!) === 0, "the files differ"));
  return checks;
}

function isSame(again: KitTensor, t: KitTensor, within: number): boolean {
  return (
    `${again.shape}` === `${t.shape}` &&
    t.data.every((x, i) => Math.abs(x - again.data[i]!) <= within * Math.max(1, Math.abs(x)))
  );
}

/** The config as it would be written for an adapter that was made here, not loaded. */
function newJson(model: PeftModel, name: string): unknown {
  const adapter = model.adapters.get(name)!;
  const { method, config, json, state } = adapter;
  const { base } = model;
  const modelClass = { name: classOf(base.configJson, base.taskType), modelType: base.config.modelType };
  const own = { method, config, json, state, loaded: undefined };
  return settings(JSON.parse(formatAdapterConfig(own, modelClass)));
}

/**
 * A config without what says where and by whom it was made; where Python knew no task, it names its class
 * instead.
 */
function settings({
  base_model_name_or_path: _,
  peft_version: __,
  auto_mapping: mapping,
  model_name: ____,
  model_class: _____,
  name: ______,
  task_type: task,
  ...rest
}: Record<string, unknown>): unknown {
  const isBare = !/For[A-Z]/.test(`${Object(mapping)["base_model_class"]}`);
  const bare = { task_type: "FEATURE_EXTRACTION" };
  const own = { task_type: task, ...(task === null && { mapping }) };
  return sorted({ ...rest, ...(task === null && isBare ? bare : own) });
}

/** Keys in order, and lists of names too: Python keeps them as sets. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    const list = value.map(sorted);
    return list.every((x) => typeof x === "string") ? [...new Set(list)].sort() : list;
  }
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([k, v]) => [k, sorted(v)]));
}
