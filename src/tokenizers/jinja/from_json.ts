import { Dict, type Value } from "./values/values.js";

/** Variables from outside as a template's own values, and how large they are, in items and characters. */
export function fromJson(variables: { readonly [name: string]: unknown }): {
  values: Map<string, Value>;
  size: number;
} {
  let size = 0;
  const read = (part: unknown): Value => {
    size++;
    if (part === null || part === undefined) return null;
    if (part instanceof Number) return Number(part); // a float, though it be whole: 1.0 of a row
    if (typeof part === "number") return Number.isInteger(part) ? BigInt(part) : part;
    if (part instanceof Number) return Number(part); // a float, though it be whole
    if (typeof part === "boolean" || typeof part === "bigint") return part;
    if (typeof part === "string") {
      size += part.length;
      return part;
    }
    if (Array.isArray(part)) return part.map(read);
    if (typeof part !== "object") return `<${typeof part}>`;
    const entries = part instanceof Map ? [...part] : Object.entries(part);
    const known = entries.filter(([, item]) => item !== undefined);
    return new Dict(known.map(([key, item]) => [read(key), read(item)] as const));
  };
  const values = new Map<string, Value>();
  for (const [name, part] of Object.entries(variables)) if (part !== undefined) values.set(name, read(part));
  return { values, size };
}
