import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Bases } from "./bases.js";
import { foldersIn } from "./files.js";
import type { CaseResult } from "./result.js";

/** Something of a kit that can be run, by name. */
export interface Case {
  readonly name: string;
  readonly run: (bases: Bases) => Promise<CaseResult>;
}

/** A part of a kit: what of it is there to be run. A kit need not have it. */
export type Section = (kit: string) => readonly Case[];

/**
 * A case for each folder in a folder of the kit, of those that are `own`: "mixtures/NAME", or NAME alone where
 * `prefix` is "".
 */
export function eachFolder(
  folder: string,
  run: (kit: string, name: string, bases: Bases) => Promise<CaseResult>,
  prefix = `${folder}/`,
  own: (kit: string, name: string) => boolean = () => true,
): Section {
  return (kit) =>
    foldersIn(kit, folder)
      .filter((name) => own(kit, name))
      .map((name) => ({ name: `${prefix}${name}`, run: (bases) => run(kit, name, bases) }));
}

/** One case for a file or folder of the kit. */
export function one(name: string, run: (kit: string, bases: Bases) => Promise<CaseResult>): Section {
  return (kit) => (existsSync(join(kit, name)) ? [{ name, run: (bases) => run(kit, bases) }] : []);
}
