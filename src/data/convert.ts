import { PeftError } from "../errors.js";
import { warnOnConsole } from "../printable.js";
import { option, words } from "../words.js";
import { type Resolved, resolveColumns } from "./columns.js";
import { count, type Fault, listNames, refuse } from "./faults.js";
import { kinds } from "./kinds/index.js";
import type { Entry, KindOptions } from "./kinds/kind.js";
import { isMissing } from "./kinds/labels.js";
import type { RowMapping, RowOptions, SlotSource } from "./load_options.js";
import { labelNames, type Row } from "./row.js";
import { columnsOf, type DataRecord, type Table } from "./tables/table.js";
import { isObject, show } from "./tables/values.js";

/** How records become rows: what their columns are for, and what their labels are. */
export interface Reading extends Resolved {
  /** Of all records, as far as they are known. */
  readonly columns: readonly string[];
  readonly lossColumns: readonly string[];
  readonly options: KindOptions;
  /** Where the records come from, in words. */
  readonly from: string;
}

/** Understands a table's columns, and says which of them are not used. Throws "data", "option". */
export function readingOf(table: Table, options: RowOptions, from: string): Reading {
  const { warn = warnOnConsole, lossColumns = [], raw, template, target, problemType } = options;
  const resolved = resolveColumns(table, options);
  const unused = resolved.unused.filter((name) => !lossColumns.includes(name));
  if (unused.length > 0)
    warn(`Not used: ${unused.length > 1 ? "columns" : "column"} ${listNames(unused, true)} of ${from}.`);
  const ofFile = resolved.labelColumn === undefined ? undefined : table.labelNames?.[resolved.labelColumn];
  const literal = raw === true || template !== undefined || target !== undefined;
  const { language, speechTask } = options;
  const spoken = { language, isTranslated: speechTask === "translate" };
  const ofKind = { labels: options.labels ?? ofFile, problemType, literal, ...spoken };
  return { ...resolved, columns: table.columns, lossColumns, options: ofKind, from };
}

/** All records of a table as rows. Throws "data" with every row that cannot be used. */
export function tableRows(table: Table, options: RowOptions, from: string): Row[] {
  if (table.records.length === 0) throw noRows(from, table.columns);
  const mapped = typeof options.columns === "function" ? mapTable(table, options.columns, from) : table;
  const reading = readingOf(mapped, options, from);
  const faults: Fault[] = [];
  const rows = convertRecords(mapped.records, reading, faults);
  refuseRows(faults, reading);
  if (options.labels === undefined) warnOfMissing(rows, options.warn ?? warnOnConsole);
  return rows;
}

export function convertRecords(records: readonly DataRecord[], reading: Reading, faults: Fault[]): Row[] {
  const entries = records.flatMap((record) => fillSlots(record, reading.slots, faults));
  const rows = kinds[reading.kind].convert(entries, faults, reading.options);
  return reading.lossColumns.length === 0 ? rows : withColumns(rows, records, reading.lossColumns, faults);
}

export function refuseRows(faults: readonly Fault[], { kind, columns, from }: Reading): void {
  refuse(faults, {
    what: (n) => `${count(n, "row")} of ${from} cannot be used`,
    why: `the rows were read as kind "${kind}", from the columns ${listNames(columns)}.`,
    fix: "correct or remove these rows, or name other columns.",
  });
}

export function noRows(from: string, columns: readonly string[] = []): PeftError {
  return new PeftError("data", {
    what: `${from} holds no rows.`,
    why: columns.length > 0 ? `there are only the column names ${listNames(columns)}.` : "it is empty.",
    fix: "give at least one row.",
  });
}

/** Throws "option" where a limit is no number of rows. */
export function checkLimit({ limit }: RowOptions): void {
  if (limit === undefined || (Number.isInteger(limit) && limit > 0)) return;
  throw new PeftError("option", {
    what: words`${option("limit")} is ${limit}.`,
    why: "it is the number of rows to read.",
    fix: "give a whole number above 0, or leave it out.",
  });
}

function mapTable(table: Table, mapping: RowMapping, from: string): Table {
  const faults: Fault[] = [];
  const records = table.records.flatMap((record) => mapRecord(record, mapping, faults));
  refuseMapping(faults, from);
  return { columns: columnsOf(records), records };
}

/** A record as the user's function makes it; what that throws or gives else is a fault. */
export function mapRecord(record: DataRecord, mapping: RowMapping, faults: Fault[]): DataRecord[] {
  try {
    const values: unknown = mapping(record.values);
    if (isObject(values)) return [{ ...record, values }];
    faults.push({ at: record.at, says: `it gives ${show(values)}, not an object` });
  } catch (error) {
    faults.push({ at: record.at, says: `it throws ${error instanceof Error ? error.message : show(error)}` });
  }
  return [];
}

export function refuseMapping(faults: readonly Fault[], from: string): void {
  refuse(faults, {
    what: (n) => words`The function ${option("columns")} fails on ${count(n, "row")} of ${from}`.toString(),
    why: "it must make an object with the usual names of each row.",
    fix: "give a function such as (row) => ({ text: row.body, label: row.team }).",
  });
}

/** Rows with the numbers that a custom loss reads of them. */
function withColumns(
  rows: readonly Row[],
  records: readonly DataRecord[],
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
export function warnOfMissing(rows: readonly Row[], warn: (message: string) => void): void {
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

/** What a row has instead tells one of another kind. */
function beside({ values }: DataRecord): string {
  const names = Object.keys(values).filter((name) => values[name] !== undefined && values[name] !== null);
  return names.length === 0 ? "" : ` (it has ${listNames(names)})`;
}

export function fillSlots(
  record: DataRecord,
  slots: Readonly<Record<string, SlotSource>>,
  faults: Fault[],
): Entry[] {
  const isAbsent = (column: string): boolean =>
    record.values[column] === undefined || record.values[column] === null;
  const needed = Object.values(slots).filter((source) => !source.optional);
  const absent = new Set(needed.flatMap((source) => source.columns.filter(isAbsent)));
  for (const column of absent)
    faults.push({ at: record.at, says: `no value for ${JSON.stringify(column)}${beside(record)}` });
  if (absent.size > 0) return [];
  const values = Object.entries(slots).map(([slot, source]) => [slot, source.get(record)] as const);
  const { at, folder } = record;
  return [{ at, values: Object.fromEntries(values), ...(folder === undefined ? {} : { folder }) }];
}
