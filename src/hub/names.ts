/**
 * snake_case to camelCase, so that `toSnakeName` gives the same name back: only a lower-case letter
 * after "_" is folded
 * (`layer_norm_2` stays `layerNorm_2`, `lora_A` and `apply_GS` stay).
 */
export function toCamelName(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** camelCase to snake_case. */
export function toSnakeName(name: string): string {
  if (camelOnDisk.has(name)) return name;
  return name.replace(/(?<=[^_A-Z])[A-Z]+/g, (run) =>
    run.replace(/./g, (letter) => `_${letter.toLowerCase()}`),
  );
}

/** Names that Python itself writes in camelCase: AdaLoRA's interval between two budgets. */
const camelOnDisk: ReadonlySet<string> = new Set(["deltaT"]);

/**
 * Renames the keys of one object, not of those inside it: their keys may be data (`rank_pattern`,
 * `id2label`).
 */
export function renameKeys<T>(
  record: Readonly<Record<string, T>>,
  rename: (name: string) => string,
): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [rename(name), value]));
}
