import { namingFile, PeftError } from "../errors.js";
import type { Architecture, TaskType } from "../models/model.js";
import { architectures } from "../models/registry.js";
import type { ModelSpec } from "../trace/write.js";
import { toCode, words } from "../words.js";

/** The architecture that reads this model_type. Throws "unknown-model", which lists what is known. */
export function architectureOf(json: Readonly<Record<string, unknown>>): Architecture {
  const type = json["model_type"];
  const found = architectures.find(type);
  if (found !== undefined) return found;
  throw new PeftError("unknown-model", {
    what: `model_type ${JSON.stringify(type ?? null)} is not known.`,
    why: `peft.js reads ${architectures.all.flatMap((a) => a.modelTypes).join(", ")}.`,
    fix: words`use a model of one of these types${toCode(", or add this one: registerArchitecture()")}.`,
  });
}

/** A model's spec from its config.json alone: enough for counting. Faults name the `file`. */
export function specOf(
  json: Readonly<Record<string, unknown>>,
  task: TaskType,
  file = "config.json",
): ModelSpec {
  return namingFile(file, () => {
    const architecture = architectureOf(json);
    const config = architecture.parse({ ...architecture.defaultTokens, ...json }, task);
    return { architecture, config, task };
  });
}
