import { PeftError } from "../errors.js";

/** One thing that is wrong with the data, and where. */
export interface Fault {
  readonly at: string;
  readonly says: string;
}

const shown = 10;

/** Throws one error for all faults of a kind, the first ten of them in words; returns when there are none. */
export function refuse(
  faults: readonly Fault[],
  parts: { what: (count: number) => string; why: string; fix: string },
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

/** Number of edits between two words (Levenshtein). */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/** The name most like `wanted`, if one is near enough to be meant. */
export function nearest(wanted: string, names: readonly string[]): string | undefined {
  const key = wanted.toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 2)) + 1;
  for (const name of names) {
    const d = distance(key, name.toLowerCase());
    if (d < least) [best, least] = [name, d];
  }
  return best;
}
