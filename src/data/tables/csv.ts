import { type CsvError, parse } from "csv-parse/sync";
import { PeftError } from "../../errors.js";
import { count, type Fault, listNames } from "../faults.js";
import type { RecordSource } from "../record_source.js";
import type { DataRecord, TableOptions } from "./table.js";
import { readText } from "./text.js";

interface Line {
  readonly info: { readonly lines: number };
  readonly record: string[];
}

/**
 * Comma-, tab- or semicolon-separated text with a line of column names; which of the three is read off that
 * line. Quotes inside an unquoted field are text, as in Python's csv.
 */
export async function readCsv(file: string, options: TableOptions): Promise<RecordSource> {
  const text = await readText(file, options);
  const faults: Fault[] = [];
  const lines = parseLines(text, file, faults, options.limit);
  const header = lines.shift();
  const columns = header?.record ?? [];
  refuseDoubles(columns, file);
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    yield* faults;
    let last = header?.info.lines ?? 1;
    for (const { info, record } of lines) {
      const at = `${file} line ${last + 1}`;
      last = info.lines;
      if (record.length === columns.length)
        yield { at, values: Object.fromEntries(columns.map((name, i) => [name, record[i]])) };
      else yield { at, says: `${count(record.length, "field")}, but ${count(columns.length, "column")}` };
    }
  }
  const malformed = {
    what: (n: number): string => `${count(n, "malformed line")} in ${file}`,
    why: `its first line names ${count(columns.length, "column")}: ${listNames(columns)}.`,
    fix: 'correct these lines; a field with a separator or a line break in it stands in "quotes".',
  };
  return { from: file, isReplayable: true, columns, malformed, records };
}

function parseLines(text: string, file: string, faults: Fault[], limit: number | undefined): Line[] {
  const onSkip = (error: CsvError | undefined): undefined => {
    faults.push({ at: `${file} line ${error?.["lines"] ?? "?"}`, says: error?.message ?? "unreadable" });
  };
  const lines: unknown = parse(text, {
    delimiter: delimiterOf(text),
    info: true,
    relax_quotes: true,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_skip: onSkip,
    ...(limit === undefined ? {} : { to: limit + 1 }),
  });
  return lines as Line[];
}

/** The separator that occurs most in the first line, outside quotes. */
function delimiterOf(text: string): string {
  const first = text
    .slice(0, 2 ** 16)
    .replace(/"[^"]*"/g, "")
    .trimStart()
    .split("\n", 1)[0]!;
  const times = (separator: string): number => first.split(separator).length;
  return [",", "\t", ";"].reduce((best, next) => (times(next) > times(best) ? next : best));
}

function refuseDoubles(columns: readonly string[], file: string): void {
  const seen = new Set<string>();
  const doubles = columns.filter((name) => seen.size === seen.add(name).size);
  if (doubles.length === 0) return;
  throw new PeftError("data", {
    what: `${file} names a column twice: ${listNames([...new Set(doubles)], true)}.`,
    why: "a template could not tell the two apart.",
    fix: "give each column of the first line its own name.",
  });
}
