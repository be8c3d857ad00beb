import { keyList } from "./key_list.js";
import type { CaseResult } from "./result.js";
import type { Check } from "./tensors.js";
import { isBad } from "./tensors.js";

export type Verdict = "passed" | "FAILED" | "not covered";

/** A case without checks is not covered; a case with checks passes or fails by them. */
export function verdictOf({ checks }: CaseResult): Verdict {
  if (checks.length === 0) return "not covered";
  return checks.some(isBad) ? "FAILED" : "passed";
}

/** The kind of a check: what stands before the first dot of its key. */
function kindOf({ key }: Check): string {
  return key.split(".")[0]!;
}

/** Of every kind of check the one nearest to its limit, in the order in which they came. */
export function worstOfKinds(checks: readonly Check[]): Check[] {
  const worst = new Map<string, Check>();
  for (const check of checks) {
    const before = worst.get(kindOf(check));
    if (before === undefined || !(check.share <= before.share)) worst.set(kindOf(check), check);
  }
  return [...worst.values()];
}

/** 1e-4, 2.2e-5, 0 */
function exponent(x: number): string {
  return x === 0 ? "0" : x.toExponential(1).replace(".0e", "e");
}

/** "grad 2.1e-6 of 1e-4" */
function figure(check: Check): string {
  const kind = kindOf(check);
  if (check.within === 0) return `${kind} ${isBad(check) ? "differs" : "equal"}`;
  return `${kind} ${exponent(check.share * check.within)} of ${exponent(check.within)}`;
}

/**
 * The lines of a case: the worst error of each kind of check, all that failed, and the keys that nobody
 * checks.
 */
export function linesOf(name: string, result: CaseResult): string[] {
  const { checks, notCovered } = result;
  const verdict = verdictOf(result);
  const counted =
    checks.length === 0 ? "" : ` ${checks.length} checks: ${worstOfKinds(checks).map(figure).join(", ")}`;
  const lines = [`${verdict} ${name}${checks.length === 0 ? `: ${notCovered?.reason}` : `:${counted}`}`];
  for (const { key, share, within, note } of checks.filter(isBad).slice(0, 12))
    lines.push(`    ${key}: ${note?.slice(0, 900) ?? `${exponent(share * within)} of ${exponent(within)}`}`);
  const more = checks.filter(isBad).length - 12;
  if (more > 0) lines.push(`    and ${more} more`);
  if (notCovered !== undefined && notCovered.keys.length > 0) {
    const why = checks.length === 0 ? "" : ` (${notCovered.reason})`;
    lines.push(`    not covered${why}, ${notCovered.keys.length} keys: ${keyList(notCovered.keys)}`);
  }
  return lines;
}

/** Checks that pass and yet come near their limit, the nearest first: they deserve a look. */
export function nearLimit(results: readonly { name: string; checks: readonly Check[] }[]): string[] {
  const near = results.flatMap(({ name, checks }) =>
    checks.filter((c) => c.share > 0.3 && !isBad(c)).map((check) => ({ name, check })),
  );
  near.sort((a, b) => b.check.share - a.check.share);
  return near.map(
    ({ name, check }) =>
      `    ${name} ${check.key}: ${Math.round(check.share * 100)} % of ${exponent(check.within)}`,
  );
}
