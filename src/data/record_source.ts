import { type Fault, type FaultParts, refuse } from "./faults.js";
import { columnsOf, type DataRecord, type Table } from "./tables/table.js";

/** Records that are read one after another, so that there may be more of them than memory holds. */
export interface RecordSource {
  /** Where they come from, in words. */
  readonly from: string;
  /** Whether each walk begins at the first record. What can be read once, and is not kept, is walked once. */
  readonly isReplayable: boolean;
  /** Names of columns, where the source says them; those of the first records without it. */
  readonly columns?: readonly string[];
  /** Class names by column, where the source says them. */
  readonly labelNames?: Readonly<Record<string, readonly string[]>>;
  /** The first records, of a source that can be read once. */
  readonly head?: readonly (DataRecord | Fault)[];
  /** How faults among the records are said. */
  readonly malformed: FaultParts;
  records(): AsyncIterable<DataRecord | Fault>;
}

export function isFault(item: DataRecord | Fault): item is Fault {
  return "says" in item;
}

/** The first `n` of a walk; the rest of it is left. */
export async function firstOf<Item>(items: AsyncIterable<Item>, n: number): Promise<Item[]> {
  const first: Item[] = [];
  if (n === 0) return first;
  for await (const item of items) if (first.push(item) === n) break;
  return first;
}

/** Items in lists of `size`; the last may be shorter. */
export async function* chunked<Item>(items: AsyncIterable<Item>, size: number): AsyncGenerator<Item[]> {
  let chunk: Item[] = [];
  for await (const item of items) {
    if (chunk.push(item) < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

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
