import { PeftError } from "../errors.js";
import type { Words } from "../words.js";

/** One thing that is wrong with the data, and where. */
export interface Fault {
  readonly at: string;
  readonly says: string;
}

const shown = 10;

/** Throws one error for all faults of a kind, the first ten of them in words; returns when there are none. */
export function refuse(faults: readonly Fault[], parts: FaultParts): void {
  if (faults.length > 0) throw faultsError(faults, parts);
}

export interface FaultParts {
  what: (count: number) => string;
  why: string | Words;
  fix: string | Words;
}

export function faultsError(faults: readonly Fault[], { what, why, fix }: FaultParts): PeftError {
  const list = faults.slice(0, shown).map((fault) => `${fault.at}: ${fault.says}`);
  const rest = faults.length > shown ? `; and ${faults.length - shown} more` : "";
  return new PeftError("data", { what: `${what(faults.length)}: ${list.join("; ")}${rest}.`, why, fix });
}

/** Names in a sentence, the first ten of them. */
export function listNames(names: readonly string[], quoted = false): string {
  const some = names.slice(0, shown).map((name) => short(quoted ? JSON.stringify(name) : name));
  return some.join(", ") + (names.length > shown ? ` and ${names.length - shown} more` : "");
}

function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** `1 row`, `3 rows`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
