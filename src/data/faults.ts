import { PeftError } from "../errors.js";
import type { Words } from "../words.js";

/** One thing that is wrong with the data, and where. */
export interface Fault {
  readonly at: string;
  readonly says: string;
}

const shown = 10;

/** Throws one error for all faults of a kind, the first ten of them in words; returns when there are none. */
export function refuse(
  faults: readonly Fault[],
  parts: { what: (count: number) => string; why: string | Words; fix: string | Words },
): void {
  if (faults.length === 0) return;
  const list = faults.slice(0, shown).map((fault) => `${fault.at}: ${fault.says}`);
  const rest = faults.length > shown ? `; and ${faults.length - shown} more` : "";
  throw new PeftError("data", {
    what: `${parts.what(faults.length)}: ${list.join("; ")}${rest}.`,
    why: parts.why,
    fix: parts.fix,
  });
}

/** `1 row`, `3 rows`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
