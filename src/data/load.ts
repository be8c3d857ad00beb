import { expectArgument, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { nodeFiles } from "../hub/files.js";
import { warnOnConsole } from "../printable.js";
import { option, words } from "../words.js";
import { resolveColumns } from "./columns.js";
import { count, type Fault, listNames, refuse } from "./faults.js";
import { kinds } from "./kinds/index.js";
import type { Entry } from "./kinds/kind.js";
import { isMissing } from "./kinds/labels.js";
import type { LoadDatasetOptions, SlotSource } from "./load_options.js";
import { loadNames } from "./load_options.js";
import { labelNames, type Row } from "./row.js";
import { readerOf } from "./tables/formats.js";
import type { DataRecord, Table } from "./tables/table.js";
import { readText } from "./tables/text.js";

/**
 * Reads one or more files as rows of one kind. Throws `data`: malformed lines, missing columns, values of a wrong form (all of a
 * kind at once, with file and line), an empty file, an unknown extension.
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
  const table = await readTables(files, options);
  if (table.records.length === 0) {
    throw new PeftError("data", {
      what: `${files.join(", ")} ${files.length > 1 ? "hold" : "holds"} no rows.`,
      why:
        table.columns.length > 0
          ? `there are only the column names ${listNames(table.columns)}.`
          : "it is empty.",
      fix: "give a file with at least one row.",
    });
  }
  const { warn = warnOnConsole, lossColumns = [] } = options;
  const { kind, slots, labelColumn, unused: rest } = resolveColumns(table, options);
  const unused = rest.filter((name) => !lossColumns.includes(name));
  if (unused.length > 0)
    warn(
      `Not used: ${unused.length > 1 ? "columns" : "column"} ${listNames(unused, true)} of ${listNames(files)}.`,
    );
  const faults: Fault[] = [];
  const entries = table.records.flatMap((record) => fillSlots(record, slots, faults));
  const labels = options.labels ?? (labelColumn === undefined ? undefined : table.labelNames?.[labelColumn]);
  const converted = kinds[kind].convert(entries, faults, {
    labels,
    problemType: options.problemType,
    literal: options.raw === true || options.template !== undefined || options.target !== undefined,
  });
  const rows = lossColumns.length === 0 ? converted : withColumns(converted, table, lossColumns, faults);
  refuse(faults, {
    what: (n) => `${count(n, "row")} of ${files.join(", ")} cannot be used`,
    why: `the rows were read as kind "${kind}", from the columns ${listNames(table.columns)}.`,
    fix: "correct or remove these rows, or name other columns.",
  });
  if (options.labels === undefined) warnOfMissing(rows, warn);
  return rows;
}

/** Rows with the numbers that a custom loss reads of them. */
function withColumns(
  rows: readonly Row[],
  { records }: Table,
  names: readonly string[],
  faults: Fault[],
): Row[] {
  const recordAt = new Map(records.map((record) => [record.at, record]));
  return rows.map((row) => {
    const columns: Record<string, number | number[]> = {};
    for (const name of names) {
      const value = numbers(recordAt.get(row.at)?.values[name]);
      if (value === undefined) faults.push({ at: row.at, says: `no number for ${JSON.stringify(name)}` });
      else columns[name] = value;
    }
    return { ...row, columns };
  });
}

function numbers(value: unknown): number | number[] | undefined {
  if (Array.isArray(value)) {
    const list = value.map(Number);
    return list.length > 0 && list.every(Number.isFinite) ? list : undefined;
  }
  const isNumber = typeof value === "string" ? value.trim() !== "" : value !== undefined && value !== null;
  return isNumber && Number.isFinite(Number(value)) ? Number(value) : undefined;
}

/** "NA" may be Namibia, or a value that is missing. */
function warnOfMissing(rows: readonly Row[], warn: (message: string) => void): void {
  const classes = labelNames(rows).filter(isMissing);
  if (classes.length > 0)
    warn(
      `Taken as ${classes.length > 1 ? "classes" : "a class"}, not as missing: ${listNames(classes, true)}.`,
    );
  const targets = rows.filter((row) => row.kind === "prompt" && row.target !== "" && isMissing(row.target));
  if (targets.length > 0)
    warn(
      `${count(targets.length, "target")} that may stand for a missing value, first at ${targets[0]!.at}.`,
    );
}

function fillSlots(
  record: DataRecord,
  slots: Readonly<Record<string, SlotSource>>,
  faults: Fault[],
): Entry[] {
  const isAbsent = (column: string): boolean =>
    record.values[column] === undefined || record.values[column] === null;
  const needed = Object.values(slots).filter((source) => !source.optional);
  const absent = new Set(needed.flatMap((source) => source.columns.filter(isAbsent)));
  for (const column of absent) faults.push({ at: record.at, says: `no value for ${JSON.stringify(column)}` });
  if (absent.size > 0) return [];
  const values = Object.entries(slots).map(([slot, source]) => [slot, source.get(record)] as const);
  return [{ at: record.at, values: Object.fromEntries(values) }];
}

async function readTables(files: readonly string[], options: LoadDatasetOptions): Promise<Table> {
  const { limit, format, reader = nodeFiles, split, encoding } = options;
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0)) {
    throw new PeftError("option", {
      what: words`${option("limit")} is ${limit}.`,
      why: "it is the number of rows to read.",
      fix: "give a whole number above 0, or leave it out.",
    });
  }
  const readers = files.map((file) => readerOf(file, format));
  const tables: Table[] = [];
  let left = limit;
  for (const [i, file] of files.entries()) {
    if (left === 0) break;
    const table = await readers[i]!(file, { reader, limit: left, split, encoding });
    tables.push(table);
    if (left !== undefined) left -= table.records.length;
  }
  return {
    columns: [...new Set(tables.flatMap((table) => table.columns))],
    records: tables.flatMap((table) => table.records),
    labelNames: Object.assign({}, ...tables.map((table) => table.labelNames)),
  };
}

/** A file of text as data files are read: UTF-8, or the encoding that is named. Throws "data". */
export function readTextFile(file: string, encoding?: string): Promise<string> {
  return readText(file, { reader: nodeFiles, encoding });
}
