import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** The text of a file that ships inside a dependency, as "uplot/dist/uPlot.min.css". */
export function readPackageFile(path: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(path), "utf8");
}
