import type { Reader } from "../types.js";

/** One record of a file as it stood there. */
export interface DataRecord {
  readonly at: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** Where the file lies that it stood in: paths in it are relative to that. */
  readonly folder?: string | undefined;
}

/**
 * A file's records; `columns` are all names that occur. `labelNames`: class names that the file itself gives.
 */
export interface Table {
  readonly columns: readonly string[];
  readonly records: readonly DataRecord[];
  readonly labelNames?: Readonly<Record<string, readonly string[]>>;
}

export interface TableOptions {
  reader: Reader;
  /** Stop after this many records. */
  limit?: number | undefined;
  /** Which list of a JSON file that holds several. */
  split?: string | undefined;
  /** Of text files; UTF-8 without it. */
  encoding?: string | undefined;
}

/** The names of all records' fields, in the order of their first appearance. */
export function columnsOf(records: readonly DataRecord[]): string[] {
  const names = new Set<string>();
  for (const record of records) for (const name of Object.keys(record.values)) names.add(name);
  return [...names];
}
