import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * The path of a file or folder in the first folder above this one that has it: compiled, the bench lies
 * deeper than its sources.
 */
export function above(name: string, folder: string = import.meta.dirname): string | undefined {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  const parent = dirname(folder);
  return parent === folder ? undefined : above(name, parent);
}
