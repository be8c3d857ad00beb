import type { Casing, Classes } from "./characters.js";
import { asciiClasses, unicodeClasses } from "./characters.js";

/** Flags that stand in patterns, (?aimsux). */
export interface Flags {
  readonly ascii: boolean;
  readonly ignoreCase: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
  readonly verbose: boolean;
}

const FLAGS: Readonly<Record<string, keyof Flags>> = {
  a: "ascii",
  i: "ignoreCase",
  m: "multiline",
  s: "dotAll",
  x: "verbose",
};
export const NO_FLAGS: Flags = {
  ascii: false,
  ignoreCase: false,
  multiline: false,
  dotAll: false,
  verbose: false,
};

/** The flags that letters stand for, or why they stand for none. */
export function flagsOf(letters: string): Partial<Flags> | string {
  if (letters.includes("L")) return "cannot use LOCALE flag with a str pattern";
  if (letters.includes("a") && letters.includes("u")) return "ASCII and UNICODE flags are incompatible";
  const unknown = [...letters].find((letter) => letter !== "u" && FLAGS[letter] === undefined);
  if (unknown !== undefined) return `unknown flag "${unknown}"`;
  return Object.fromEntries(
    [...letters].flatMap((letter) => FLAGS[letter] ?? []).map((name) => [name, true]),
  );
}

export function isFlag(name: string): name is keyof Flags {
  return name in NO_FLAGS;
}

export function casingOf({ ignoreCase, ascii }: Flags): Casing {
  if (!ignoreCase) return "exact";
  return ascii ? "ascii" : "unicode";
}
export function classesOf({ ascii }: Flags): Classes {
  return ascii ? asciiClasses : unicodeClasses;
}
