import { PeftError } from "../errors.js";
import { formatJson } from "../hub/json.js";
import { taskOfClass } from "../tasks/registry.js";
import type { ClassFields } from "./class_names.js";

/**
 * Files of the library "adapters" (AdapterHub): its adapter_config.json as PEFT's, and back. Reference:
 * adapters/loading.py
 */

type Json = Readonly<Record<string, unknown>>;

/** What stands in its file beside the config. */
const BESIDE = ["hidden_size", "model_class", "model_type", "name", "version"] as const;
/** Fields of PEFT's that its file has not. */
const OURS = [
  ...["peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "task_type"],
  ...["inference_mode", "modules_to_save", "preset"],
];

/** Whether an adapter_config.json is that library's. */
export function isLibraryJson({ config, peft_type, ...json }: Json): boolean {
  const isOne = typeof config === "string" || (typeof config === "object" && config !== null);
  return peft_type === undefined && isOne && ("model_class" in json || "model_type" in json);
}

/**
 * Its adapter_config.json as PEFT would write it.
 * @param path names the file in errors
 * @throws "unknown-method" for other adapters of that library than bottlenecks
 */
export function fromLibrary(json: Json, path: string): Json {
  const { config, model_name, ...beside } = json;
  const { model_class } = beside;
  const own = typeof config === "string" ? { preset: config } : fieldsOf(Object(config));
  const architecture = Object(config)["architecture"];
  if (architecture !== undefined && architecture !== null)
    throw new PeftError("unknown-method", {
      what: `"${path}" is an adapter of the adapters library (AdapterHub), of the kind ${JSON.stringify(architecture)}.`,
      why: "peft.js reads that library's bottleneck adapters, and PEFT's files of all else.",
      fix: "load it in Python with adapters, merge it there (merge_adapter) and save the model; or train it with PEFT.",
    });
  const task = typeof model_class === "string" ? taskOfClass(model_class) : undefined;
  return {
    ...beside,
    ...own,
    peft_type: "BOTTLENECK",
    ...(task !== undefined && { task_type: task }),
    ...(typeof model_name === "string" && { base_model_name_or_path: model_name }),
  };
}

/** Fields of its config; what old files leave out or say in other words. */
function fieldsOf({ invertible_adapter: old, ...config }: Json): Json {
  const { non_linearity: name } = config;
  const { block_type, reduction_factor } = Object(old);
  return {
    original_ln_before: false,
    ...(old ? { inv_adapter: block_type, inv_adapter_reduction_factor: reduction_factor } : {}),
    ...config,
    ...(typeof name === "string" && { non_linearity: name.toLowerCase() }),
  };
}

/** The same the other way round. */
export function toLibrary(json: Json): Json {
  const config = Object.entries(json).filter(
    ([key]) => !OURS.includes(key) && !BESIDE.some((other) => other === key),
  );
  return {
    ...Object.fromEntries(BESIDE.map((key) => [key, json[key]])),
    model_name: json["base_model_name_or_path"],
    config: Object.fromEntries(config),
  };
}

/** head_config.json of a model class's own head. `classes`: their names, where they have some. */
export function headConfig(json: Json, count: number, classes: ClassFields = {}): string {
  const plain = Object.fromEntries(Array.from({ length: count }, (_, i) => [`LABEL_${i}`, i]));
  return formatJson({
    config: null,
    hidden_size: json["hidden_size"],
    label2id: classes["label2id"] ?? plain,
    model_class: json["model_class"],
    model_name: json["base_model_name_or_path"],
    model_type: json["model_type"],
    name: null,
    num_labels: count,
    version: json["version"],
  });
}
