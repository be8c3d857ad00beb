import { PeftError } from "../errors.js";
import { warnOnConsole } from "../printable.js";
import { option, words } from "../words.js";
import {
  convertRecords,
  fillSlots,
  mapRecord,
  noRows,
  type Reading,
  readingOf,
  refuseMapping,
  refuseRows,
  warnOfMissing,
} from "./convert.js";
import { type Fault, refuse } from "./faults.js";
import { kinds } from "./kinds/index.js";
import type { KindOptions } from "./kinds/kind.js";
import type { RowOptions } from "./load_options.js";
import { chunked, firstOf, isFault, type RecordSource } from "./record_source.js";
import type { Row } from "./row.js";
import { columnsOf, type DataRecord, type Table } from "./tables/table.js";
import { print } from "./tables/values.js";

/** The first rows say what the columns are for. */
const headSize = 1000;
const together = 256;

/** What is known of a stream before its rows are read. */
export interface OpenRows {
  /** The first rows, at most a thousand. */
  readonly first: readonly Row[];
  /** Whether the rows can be read more than once. */
  readonly isReplayable: boolean;
  /** Where they come from, in words. */
  readonly from: string;
}

/**
 * Rows that are read when they are needed, and need not all be in memory: `for await (const row of rows)`.
 * What `loadDataset` gives with
 * `streaming`, and `rowsFrom` of what is no list. Labels without names are named after one pass over all
 * rows.
 */
export class RowStream implements AsyncIterable<Row> {
  readonly #options: RowOptions;
  readonly #source: () => Promise<RecordSource>;
  #opened: Promise<Opened> | undefined;
  #count: Promise<number> | undefined;

  /** @internal Users open streams: `loadDataset(path, { streaming: true })`. */
  constructor(source: () => Promise<RecordSource>, options: RowOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** Reads the first rows, and all of them once where their labels must be named. Throws "data". */
  open(): Promise<OpenRows> {
    return this.#open();
  }

  /**
   * How many rows there are, which one pass over them tells; undefined where they can be read only once.
   * Throws "data".
   */
  async count(): Promise<number | undefined> {
    const opened = await this.#open();
    if (!opened.isReplayable) return undefined;
    this.#count ??=
      opened.count === undefined ? survey(opened).then(({ count }) => count) : Promise.resolve(opened.count);
    return this.#count;
  }

  /** All rows in memory, as `loadDataset` gives them. */
  async toArray(): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const row of this) rows.push(row);
    return rows;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    const opened = await this.#open();
    const { reading, source } = opened;
    for await (const chunk of chunked(opened.records(), together)) {
      const faults: Fault[] = [];
      const rows = convertRecords(wellFormed(chunk, source), reading, faults);
      refuseRows(faults, reading);
      yield* rows;
    }
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#source().then((source) => openRows(source, this.#options));
    return this.#opened;
  }
}

/** The rows of a list or of a stream, in memory. */
export async function rowsOf(rows: readonly Row[] | RowStream): Promise<readonly Row[]> {
  return rows instanceof RowStream ? rows.toArray() : rows;
}

interface Opened extends OpenRows {
  readonly source: RecordSource;
  readonly reading: Reading;
  readonly count: number | undefined;
  records(): AsyncIterable<DataRecord | Fault>;
}

async function openRows(source: RecordSource, options: RowOptions): Promise<Opened> {
  const { from, isReplayable } = source;
  const records = (): AsyncIterable<DataRecord | Fault> => walk(source, options);
  const head =
    source.head?.flatMap((item) => mapped(item, options, from)) ?? (await firstOf(records(), headSize));
  const first = wellFormed(head, source);
  if (first.length === 0) throw noRows(from, source.columns);
  const table = tableOf(first, source, options);
  const reading = readingOf(table, options, from);
  const opened = { source, from, isReplayable, records, reading, first: [], count: undefined };
  const settled = await settle(opened, first);
  const known = { ...reading, options: settled.options };
  const faults: Fault[] = [];
  const rows = convertRecords(first, known, faults);
  refuseRows(faults, known);
  if (options.labels === undefined) warnOfMissing(rows, options.warn ?? warnOnConsole);
  return { ...opened, reading: known, first: rows, count: settled.count };
}

function tableOf(records: readonly DataRecord[], source: RecordSource, { columns }: RowOptions): Table {
  const isMapped = typeof columns === "function";
  const { labelNames } = source;
  return {
    columns: (isMapped ? undefined : source.columns) ?? columnsOf(records),
    records,
    ...(labelNames === undefined || isMapped ? {} : { labelNames }),
  };
}

async function* walk(source: RecordSource, options: RowOptions): AsyncGenerator<DataRecord | Fault> {
  let left = options.limit ?? Infinity;
  for await (const item of source.records()) {
    yield* mapped(item, options, source.from);
    if (--left === 0) return;
  }
}

function mapped(item: DataRecord | Fault, { columns }: RowOptions, from: string): (DataRecord | Fault)[] {
  if (typeof columns !== "function" || isFault(item)) return [item];
  const faults: Fault[] = [];
  const made = mapRecord(item, columns, faults);
  refuseMapping(faults, from);
  return made;
}

/** Throws "data" where some are no records. */
function wellFormed(items: readonly (DataRecord | Fault)[], source: RecordSource): DataRecord[] {
  refuse(items.filter(isFault), source.malformed);
  return items.filter((item): item is DataRecord => !isFault(item));
}

/** What the labels are, by the options, by the head of what can be read once, or by a pass over all rows. */
async function settle(
  opened: Opened,
  head: readonly DataRecord[],
): Promise<{ options: KindOptions; count?: number | undefined }> {
  const { options, kind, slots } = opened.reading;
  const { labels } = kinds[kind];
  if (labels === undefined) return { options };
  const isNamed = options.labels !== undefined || options.problemType === "regression";
  if (!isNamed && opened.isReplayable) {
    const { values, count } = await survey(opened);
    return { options: labels.settle(values, options), count };
  }
  const entries = head.flatMap((record) => fillSlots(record, slots, []));
  const settled = labels.settle(
    entries.flatMap((entry) => labels.parts(entry.values[labels.slot])),
    options,
  );
  if (!isNamed && settled.problemType !== "regression") throw unnamedClasses(settled.labels ?? []);
  return { options: settled };
}

/** A pass over all rows: how many they are, the labels that occur, and everything that is wrong with them. */
async function survey(opened: Opened): Promise<{ count: number; values: readonly unknown[] }> {
  const { reading, source } = opened;
  const { labels } = kinds[reading.kind];
  const isSettled = labels === undefined || reading.options.labels !== undefined;
  const values = new Map<string, unknown>();
  const malformed: Fault[] = [];
  const faults: Fault[] = [];
  let count = 0;
  for await (const chunk of chunked(opened.records(), together)) {
    malformed.push(...chunk.filter(isFault));
    const records = chunk.filter((item): item is DataRecord => !isFault(item));
    count += records.length;
    if (isSettled) convertRecords(records, reading, faults);
    else
      for (const entry of records.flatMap((record) => fillSlots(record, reading.slots, faults)))
        for (const part of labels.parts(entry.values[labels.slot])) keep(values, part, reading.options);
  }
  refuse(malformed, source.malformed);
  refuseRows(faults, reading);
  return { count, values: [...values.values()] };
}

/**
 * More different labels than a head has rows. Numbers to be met may be as many: their first ones tell that
 * they are.
 */
const mostLabels = 100_000;

function keep(values: Map<string, unknown>, value: unknown, options: KindOptions): void {
  if (values.size < mostLabels) values.set(`${typeof value} ${print(value)}`, value);
  else if (values.size === mostLabels) {
    const { problemType } = kinds.classify.labels!.settle([...values.values()], options);
    if (problemType !== "regression")
      throw new PeftError("data", {
        what: `More than ${mostLabels} different labels.`,
        why: "a class needs a row of the model's head.",
        fix: words`name another column for the label, or say that they are numbers: ${option("problemType", "regression")}.`,
      });
    values.set("more", value);
  }
}

function unnamedClasses(some: readonly string[]): PeftError {
  return new PeftError("data", {
    what: "The names of the classes are not known.",
    why: "these rows can be read only once, and a class may occur first at their end.",
    fix: words`name them: ${option("labels", some.slice(0, 3))}, or give a function that opens the rows anew: rowsFrom(() => open(), { ... }).`,
  });
}
