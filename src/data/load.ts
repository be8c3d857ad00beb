import { expectArgument, refuseUnknown } from "../arguments.js";
import { nodeFiles } from "../hub/files.js";
import { at } from "../present.js";
import { checkLimit, tableRows } from "./convert.js";
import type { LoadDatasetOptions } from "./load_options.js";
import { loadNames } from "./load_options.js";
import type { Row } from "./row.js";
import { readerOf } from "./tables/formats.js";
import type { Table } from "./tables/table.js";
import { readText } from "./tables/text.js";

/**
 * Reads one or more files as rows of one kind: see docs/data.md for the columns that are understood.
 * @throws "data" for malformed lines, missing columns, values of a wrong form (all of a kind at once, with file and line), an empty
 * file, an unknown extension
 * @example
 * ```ts
 * import { loadDataset } from "peft.js";
 *
 * const prompts = await loadDataset("tweets.csv", { template: "Tweet text : {Tweet text} Label : ", target: "{Label}" });
 * const chats = await loadDataset("chats.jsonl"); // the column "messages" says what it is
 * const classes = await loadDataset(["a.parquet", "b.parquet"], { columns: { text: "body", label: "topic" } });
 * console.log(prompts.length, chats.length, classes.length);
 * ```
 */
export async function loadDataset(
  file: string | readonly string[],
  options: LoadDatasetOptions = {},
): Promise<Row[]> {
  refuseUnknown("loadDataset", options, loadNames);
  const files = typeof file === "string" ? [file] : file;
  expectArgument("loadDataset", file, {
    is: Array.isArray(files) && files.length > 0 && files.every((name) => typeof name === "string"),
    wants: "the path of a file, or several",
    fix: 'write loadDataset("rows.jsonl", { ... }).',
  });
  checkLimit(options);
  return tableRows(await readTables(files, options), options, files.join(", "));
}

async function readTables(files: readonly string[], options: LoadDatasetOptions): Promise<Table> {
  const { limit, format, reader = nodeFiles, split, encoding } = options;
  const readers = files.map((file) => readerOf(file, format));
  const tables: Table[] = [];
  let left = limit;
  for (const [i, file] of files.entries()) {
    if (left === 0) break;
    const table = await at(readers, i)(file, { reader, limit: left, split, encoding });
    tables.push(table);
    if (left !== undefined) left -= table.records.length;
  }
  return {
    columns: [...new Set(tables.flatMap((table) => table.columns))],
    records: tables.flatMap((table) => table.records),
    labelNames: Object.assign({}, ...tables.map((table) => table.labelNames)),
  };
}

/** A file of text as data files are read: UTF-8, or the encoding that is named. @throws "data" for bytes that are no text of it */
export function readTextFile(file: string, encoding?: string): Promise<string> {
  return readText(file, { reader: nodeFiles, encoding });
}
