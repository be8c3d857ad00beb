import { PeftError } from "../errors.js";
import type { Archive, StoredTensor } from "./tensors/archive.js";

/**
 * Files of the library "adapters" (AdapterHub): an adapter's tensors, and those of a head; the first that is
 * there is read.
 */
export const LIBRARY_FILES = {
  adapter: ["adapter.safetensors", "pytorch_adapter.bin"],
  head: ["model_head.safetensors", "pytorch_model_head.bin"],
} as const;

/** Modules in which that library keeps tensors under the adapter's name: a.adapters.NAME.b */
const NAMED = /^((?:.*\.)?(?:adapters|invertible_adapters|shared_parameters))\.([^.]+)\.(.+)$/;

/** A name of that library without the adapter's, as PEFT would have it. */
function peftName(name: string): string {
  const [, module, , rest] = NAMED.exec(name) ?? [];
  return `base_model.model.${module === undefined ? name : `${module}.${rest}`}`;
}

/** Whether a name there is that of an adapter's tensor, not a head's. */
export function isLibraryAdapter(name: string): boolean {
  return NAMED.test(name);
}

/** The name that a tensor of PEFT's has in that library's files. */
export function libraryName(name: string, adapter: string): string {
  const plain = name.replace(/^base_model\.model\./, "");
  return plain.replace(/(^|\.)(adapters|invertible_adapters|shared_parameters)\./, `$1$2.${adapter}.`);
}

/**
 * Tensors of that library's files by the names that PEFT would give them. Throws "file-format" for several
 * adapters in one file.
 */
export function asPeft(path: string, archives: readonly Archive[]): Archive {
  const tensors = new Map<string, StoredTensor>();
  for (const tensor of archives.flatMap((archive) => [...archive.tensors.values()])) {
    const name = peftName(tensor.name);
    const other = tensors.get(name);
    if (other !== undefined)
      throw new PeftError("file-format", {
        what: `"${path}" holds tensors of two adapters: ${other.name} and ${tensor.name}.`,
        why: "an adapter is saved in a file of its own.",
        fix: "save it again with save_adapter(folder, name), one folder for each.",
      });
    tensors.set(name, { ...tensor, name });
  }
  return { tensors, metadata: {} };
}
