import { type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { option, words } from "../words.js";
import { checkLimit, tableRows } from "./convert.js";
import { refuse } from "./faults.js";
import { expectGiven, isIterable, malformed, openGiven, type RowsGiven, readGiven } from "./given.js";
import { type RowOptions, rowNames, slotColumns } from "./load_options.js";
import { isFault } from "./record_source.js";
import type { Row } from "./row.js";
import { RowStream } from "./row_stream.js";
import { columnsOf, type DataRecord } from "./tables/table.js";

/**
 * What rows are, and the columns that are named most often by themselves: `{ text: "body", label: "team" }`.
 */
export interface RowsFromOptions extends RowOptions {
  /** The column of the text that is classified. */
  text?: string;
  /** The column of a second text. */
  pair?: string;
  /** The column of the class. */
  label?: string;
  /** The column of a chat's messages. */
  messages?: string;
}

const rowsFromNames: NamesOf<RowsFromOptions> = {
  ...rowNames,
  columns: { also: ["column_names"] },
  text: {},
  pair: {},
  label: {},
  messages: {},
};

/**
 * Rows of one kind from objects: a list or another iterable gives them at once; an async iterable, a stream
 * of Node or of the web, or a function that gives one of these (whenever the rows are read) gives a stream of
 * rows, which may be larger than memory. Throws "data", "option".
 * @example const rows = rowsFrom(tickets, { text: "body", label: "team" });
 */
export function rowsFrom(given: Iterable<object>, options?: RowsFromOptions): Row[];
export function rowsFrom(given: RowsGiven, options?: RowsFromOptions): RowStream;
export function rowsFrom(given: RowsGiven, options: RowsFromOptions = {}): Row[] | RowStream {
  refuseUnknown("rowsFrom", options, rowsFromNames);
  expectGiven(given);
  checkLimit(options);
  const plain = withColumns(options);
  if (!isIterable(given) || Symbol.asyncIterator in given)
    return new RowStream(() => openGiven(given), plain);
  const items = readGiven(given, options.limit);
  refuse(items.filter(isFault), malformed);
  const records = items.filter((item): item is DataRecord => !isFault(item));
  return tableRows({ columns: columnsOf(records), records }, plain, "what was given");
}

function withColumns({ text, pair, label, messages, ...options }: RowsFromOptions): RowOptions {
  const named: Record<string, string> = {};
  for (const [slot, column] of Object.entries({ text, pair, label, messages }))
    if (column !== undefined) named[slot] = column;
  if (Object.keys(named).length === 0) return options;
  if (typeof options.columns === "function")
    throw new PeftError("option", {
      what: words`${option("columns")} is a function, and ${option("text")} or another column is named besides.`,
      why: "what the function makes has the usual names already.",
      fix: "give one of the two.",
    });
  return { ...options, columns: { ...named, ...slotColumns(options) } };
}
