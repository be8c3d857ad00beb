import { isObject } from "./values.js";

/**
 * `datasets` stores its features as JSON beside the schema: a ClassLabel's names stand under names, a list of
 * them under feature.
 */
export function classNames(text: string | undefined): Record<string, string[]> {
  if (text === undefined) return {};
  const features = dig(JSON.parse(text), "info", "features");
  if (!isObject(features)) return {};
  const found: Record<string, string[]> = {};
  for (const [column, feature] of Object.entries(features)) {
    const names = dig(feature, "names") ?? dig(feature, "feature", "names");
    if (Array.isArray(names)) found[column] = names.map(String);
  }
  return found;
}

function dig(value: unknown, ...path: string[]): unknown {
  return path.reduce((v, name) => (isObject(v) ? v[name] : undefined), value);
}
