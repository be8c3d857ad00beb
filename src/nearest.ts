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

/**
 * The name most like `wanted`, if one is near enough to be meant: half of it, but not a single letter, may
 * differ.
 */
export function nearest(wanted: string, names: readonly string[]): string | undefined {
  const key = wanted.toLowerCase();
  let best: string | undefined;
  let least = Math.min(Math.max(1, Math.floor(wanted.length / 2)) + 1, wanted.length);
  for (const name of names) {
    const d = distance(key, name.toLowerCase());
    if (d < least) [best, least] = [name, d];
  }
  return best;
}
