import { expectArgument, refuseUnknown } from "../arguments.js";
import { nodeFiles } from "../hub/files.js";
import type { HubOptions } from "../hub/settings.js";
import { at } from "../present.js";
import { checkLimit, tableRows } from "./convert.js";
import { count, type Fault } from "./faults.js";
import { filesOf } from "./files.js";
import { keepFew } from "./given.js";
import type { LoadDatasetOptions, StreamDatasetOptions } from "./load_options.js";
import { loadNames } from "./load_options.js";
import { readableRows } from "./media.js";
import { isFault, type RecordSource, readTable } from "./record_source.js";
import type { Row } from "./row.js";
import { RowStream } from "./row_stream.js";
import { INPUT } from "./tables/bytes.js";
import { readerOf } from "./tables/formats.js";
import { isMediaFolder } from "./tables/media_folder.js";
import type { DataRecord, Table, TableOptions } from "./tables/table.js";
import { readText } from "./tables/text.js";

/**
 * Reads files as rows of one kind: paths of files and folders, patterns (`data/*.jsonl`), data sets of the
 * Hub (`hf://datasets/OWNER/NAME/CONFIG/SPLIT`), "-" for standard input; docs/data.md says which forms and
 * columns are understood. With `streaming` the rows are read when they are needed, and may be more than
 * memory holds.
 * @throws "data" for malformed lines, missing columns, values of a wrong form (all of a kind at once, with
 *   file and line), an empty file, an unknown extension
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
export function loadDataset(
  file: string | readonly string[],
  options: StreamDatasetOptions,
): Promise<RowStream>;
export function loadDataset(file: string | readonly string[], options?: LoadDatasetOptions): Promise<Row[]>;
export async function loadDataset(
  file: string | readonly string[],
  options: LoadDatasetOptions | StreamDatasetOptions = {},
): Promise<Row[] | RowStream> {
  refuseUnknown("loadDataset", options, loadNames);
  const names = typeof file === "string" ? [file] : file;
  expectArgument("loadDataset", file, {
    is: Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === "string"),
    wants: "the path of a file, or several",
    fix: 'write loadDataset("rows.jsonl", { ... }).',
  });
  checkLimit(options);
  const files = options.reader === undefined ? await filesOf(names, nodeFiles, options.hub) : names;
  const readers = files.map((name) => readerOf(name, options.format));
  const open = async (i: number, limit?: number): Promise<RecordSource> => {
    const file = at(files, i);
    const source = await at(readers, i)(file, { ...tableOptions(options), limit });
    return isMediaFolder(file) || options.reader !== undefined
      ? source
      : lyingIn(nodeFiles.parent(file), source);
  };
  if (options.streaming !== true) {
    const rows = tableRows(await readTables(files, open, options.limit), options, files.join(", "));
    return options.reader === undefined ? readableRows(rows, options) : rows;
  }
  const stream = new RowStream(async () => {
    const sources = await Promise.all(files.map((_, i) => open(i)));
    const joined = sources.length === 1 ? at(sources, 0) : join(sources, files.join(", "));
    return files.includes(INPUT) ? { ...(await keepFew(joined.records())), from: joined.from } : joined;
  }, options);
  await stream.open();
  return stream;
}

function tableOptions({
  reader = nodeFiles,
  split,
  encoding,
}: Pick<LoadDatasetOptions, "reader" | "split" | "encoding">): TableOptions {
  return { reader, split, encoding };
}

async function readTables(
  files: readonly string[],
  open: (i: number, limit?: number) => Promise<RecordSource>,
  limit: number | undefined,
): Promise<Table> {
  const tables: Table[] = [];
  let left = limit;
  for (const i of files.keys()) {
    if (left === 0) break;
    const table = await readTable(await open(i, left), left);
    tables.push(table);
    if (left !== undefined) left -= table.records.length;
  }
  return {
    columns: [...new Set(tables.flatMap((table) => table.columns))],
    records: tables.flatMap((table) => table.records),
    labelNames: Object.assign({}, ...tables.map((table) => table.labelNames)),
  };
}

/**
 * The files that paths, folders and patterns stand for, in the order in which they are read. @throws "data"
 * where there are none
 */
export function listDataFiles(names: readonly string[], hub?: HubOptions): Promise<string[]> {
  return filesOf(names, nodeFiles, hub);
}

/** Records that know where their file lies: paths in them are relative to that. */
function lyingIn(folder: string, source: RecordSource): RecordSource {
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    for await (const item of source.records()) yield isFault(item) ? item : { ...item, folder };
  }
  return { ...source, records };
}

/** Several files as one. */
function join(sources: readonly RecordSource[], from: string): RecordSource {
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    for (const source of sources) yield* source.records();
  }
  const known = sources.map(({ columns }) => columns);
  const columns = known.includes(undefined)
    ? {}
    : { columns: [...new Set(known.flatMap((names) => names ?? []))] };
  const what = (n: number): string => `${count(n, "malformed row")}`;
  return {
    ...{ from, isReplayable: true, ...columns, records, malformed: { ...at(sources, 0).malformed, what } },
    labelNames: Object.assign({}, ...sources.map(({ labelNames }) => labelNames)),
  };
}

/**
 * A file of text as data files are read: UTF-8, or the encoding that is named. @throws "data" for bytes that
 * are no text of it
 */
export function readTextFile(file: string, encoding?: string): Promise<string> {
  return readText(file, { reader: nodeFiles, encoding });
}
