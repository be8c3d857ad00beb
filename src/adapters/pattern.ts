/**
 * A regular expression of Python's `re`, matched in full: named groups and a leading (?i) are written
 * differently here.
 */
export function pythonPattern(source: string, before = ""): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(source);
  const body = source
    .slice(flags?.[0].length ?? 0)
    .replaceAll("(?P<", "(?<")
    .replace(/\(\?P=(\w+)\)/g, "\\k<$1>");
  return new RegExp(`^${before}(?:${body})$`, flags?.[1] ?? "");
}

/**
 * The value of the first pattern that a path ends in, as rank_pattern and alpha_pattern have it:
 * `(.*\.)?(key)$`.
 * Reference: peft/utils/other.py get_pattern_key
 */
export function byPattern<T>(patterns: Readonly<Record<string, T>>, path: string): T | undefined {
  for (const [pattern, value] of Object.entries(patterns)) {
    if (pythonPattern(pattern, "(?:.*\\.)?").test(path)) return value;
  }
  return undefined;
}
