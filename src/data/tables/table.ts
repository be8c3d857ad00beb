import { type Fault, refuse } from "../faults.js";
import { isFault, type RecordSource } from "../record_source.js";
import type { Reader } from "../types.js";

/** One record of a file as it stood there. */
export interface DataRecord {
  readonly at: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** A file's records; `columns` are all names that occur. `labelNames`: class names that the file itself gives. */
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

/** Opens a file. Its records are read when they are walked. Throws "data" where it is no such file. */
export type TableReader = (file: string, options: TableOptions) => Promise<RecordSource>;

/** Records in memory. Throws "data" with every one that is malformed. */
export async function readTable(
  source: RecordSource,
  limit: number = Number.POSITIVE_INFINITY,
): Promise<Table> {
  const records: DataRecord[] = [];
  const faults: Fault[] = [];
  for await (const item of source.records()) {
    if (isFault(item)) faults.push(item);
    else if (records.push(item) >= limit) break;
  }
  refuse(faults, source.malformed);
  const { columns = columnsOf(records), labelNames } = source;
  return { columns, records, ...(labelNames === undefined ? {} : { labelNames }) };
}

/** The names of all records' fields, in the order of their first appearance. */
export function columnsOf(records: readonly DataRecord[]): string[] {
  const names = new Set<string>();
  for (const record of records) for (const name of Object.keys(record.values)) names.add(name);
  return [...names];
}
