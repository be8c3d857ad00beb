import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { PeftError } from "../errors.js";

/**
 * The text of a file that ships inside a dependency, as "uplot/dist/uPlot.min.css".
 * @throws output where a bundle was taken away from it
 */
export function readPackageFile(path: string): string {
  try {
    return readFileSync(createRequire(import.meta.url).resolve(path), "utf8");
  } catch (cause) {
    throw new PeftError("output", {
      what: `The report cannot be written: "${path}" is not to be found.`,
      why: "the report's charts are drawn by uplot, which is read as files, so that no bundle has it.",
      fix: "install uplot beside the bundle (npm install uplot); see docs/bundling.md.",
      cause,
    });
  }
}
