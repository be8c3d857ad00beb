import { namingFile, PeftError } from "../errors.js";
import type { Runtime } from "../run/runtime.js";
import type { AdapterFile } from "./adapter_files.js";
import { configPath, inFile } from "./adapter_files.js";
import { storedBase } from "./adapter_tensors.js";
import type { Attached, AttachedFile, StoredBase } from "./attach.js";

/**
 * Attaches an adapter as its file has it, with the weights of the base that the file brings. `attachWith`
 * attaches it to the model under `name`. Throws "adapter-mismatch" where the file is for another base; other
 * faults name the file.
 */
export async function attachFile(
  name: string,
  folder: string,
  { json, floats, config }: AdapterFile,
  runtime: Runtime,
  attachWith: (file: AttachedFile) => Attached,
): Promise<Attached> {
  const fitting = (base: readonly StoredBase[]): Attached => {
    try {
      return attachWith({ json, floats, base });
    } catch (error) {
      // Layers that a stored adapter names and this base lacks mean another base.
      if (!(error instanceof PeftError) || error.code !== "adapter-targets") throw error;
      throw new PeftError("adapter-mismatch", {
        what: `The adapter "${name}" does not fit this model.`,
        why: `${error.what} ${error.why}`,
        fix: `load it on its own base (${config.baseModelNameOrPath ?? "its file names none"}).`,
      });
    }
  };
  const attached = (base: readonly StoredBase[]): Attached =>
    namingFile(configPath(folder), () => fitting(base), inFile);
  const plain = attached([]);
  const base = await storedBase(plain.adapter, folder, runtime);
  return base.length === 0 ? plain : attached(base);
}
