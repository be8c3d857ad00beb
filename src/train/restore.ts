import { PeftError } from "../errors.js";
import type { Parameter, Parameters } from "../graph/parameters.js";
import { entry } from "../present.js";

/**
 * Copies a checkpoint's tensors into those of the same name. Throws `checkpoint`, with every name or
 * shape that does not fit, before the first value is written.
 */
export function restoreTensors(into: readonly Parameter[], saved: readonly Parameter[]): void {
  const given = new Map(saved.map((tensor) => [tensor.name, tensor]));
  const known = new Set(into.map(({ name }) => name));
  const faults = into.flatMap(({ name, shape }) => {
    const found = given.get(name);
    if (!found) return [`${name} is missing`];
    if (String(found.shape) === String(shape)) return [];
    return [`${name} has the shape [${found.shape.join(", ")}], not [${shape.join(", ")}]`];
  });
  for (const { name } of saved) if (!known.has(name)) faults.push(`${name} is not in the model`);
  if (faults.length > 0) throw misfit(faults);
  for (const { name, data } of into) data.set(entry(given, name).data);
}

/** The same for what a model trains: the next run of the model computes with the restored values. */
export function restoreParameters(parameters: Parameters, saved: readonly Parameter[]): void {
  restoreTensors(parameters.list, saved);
  parameters.version++;
}

const misfit = (faults: readonly string[]): PeftError =>
  new PeftError("checkpoint", {
    what: `The checkpoint does not fit: ${faults.slice(0, 10).join("; ")}${faults.length > 10 ? "; ..." : ""}.`,
    why: `${faults.length} of its tensors differ from the model's trainable parameters.`,
    fix: "resume with the base model and the adapter config that it was written with.",
  });
