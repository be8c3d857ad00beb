// What a value of an unknown kind is, for the compiler too.

/** An object with named values: neither null nor a list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A whole number that a float holds exactly. */
export function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** One of these names. */
export function isOneOf<K extends string>(value: unknown, names: readonly K[]): value is K {
  return names.some((name) => name === value);
}

/** The names of a table whose type has all of them. */
export function keysOf<K extends string>(table: Readonly<Record<K, unknown>>): K[] {
  return Object.keys(table) as K[];
}

/** What an error says, and what is no error, in words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of an error of the system's or of Node's ("ENOENT"), of whichever realm its class is. */
export function codeOf(error: unknown): string | undefined {
  const code = isRecord(error) ? error["code"] : undefined;
  return typeof code === "string" ? code : undefined;
}
