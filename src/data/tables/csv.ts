import { type CsvError, parse } from "csv-parse/sync";
import { PeftError } from "../../errors.js";
import { count, type Fault, listNames } from "../faults.js";
import type { RecordSource } from "../record_source.js";
import { firstOf } from "../record_source.js";
import { INPUT, joinBytes } from "./bytes.js";
import type { DataRecord, TableOptions } from "./table.js";
import { isTesseract, readTesseract } from "./tesseract.js";
import { readLines, readTextPieces } from "./text.js";

/** A record as the library gives it: `bytes` and `lines` are those up to its end. */
interface Line {
  readonly info: { readonly bytes: number; readonly lines: number };
  readonly record: readonly string[];
}

/** A line of the file, and where it begins. */
interface Placed {
  readonly at: string;
  readonly record: readonly string[];
}

/** So many bytes are parsed together, and twice as many as a record that they did not end. */
const fewest = 2 ** 20;
/** More than a document has; an open quote would take the rest of the file. */
const longestRecord = 16 * 2 ** 20;

/**
 * Comma-, tab- or semicolon-separated text with a line of column names; which of the three is read off that
 * line. Quotes inside an unquoted field are text, as in Python's csv. It is read piece by piece.
 */
export async function readCsv(file: string, options: TableOptions): Promise<RecordSource> {
  if (file !== INPUT && isTesseract(await firstOf(readLines(file, options), 1)))
    return readTesseract(file, options);
  let first: AsyncGenerator<Placed | Fault, undefined> | undefined = linesOf(file, options);
  const { value: header } = await first.next();
  const columns = header !== undefined && "record" in header ? header.record : [];
  refuseDoubles(columns, file);
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    // what can be read once goes on behind its column names
    const lines = first ?? linesOf(file, options);
    if (first === undefined) await lines.next();
    first = undefined;
    if (header !== undefined && "says" in header) yield header;
    for await (const line of lines) {
      if ("says" in line) yield line;
      else if (line.record.length === columns.length)
        yield { at: line.at, values: Object.fromEntries(columns.map((name, i) => [name, line.record[i]])) };
      else
        yield {
          at: line.at,
          says: `${count(line.record.length, "field")}, but ${count(columns.length, "column")}`,
        };
    }
  }
  const malformed = {
    what: (n: number): string => `${count(n, "malformed line")} in ${file}`,
    why: `its first line names ${count(columns.length, "column")}: ${listNames(columns)}.`,
    fix: 'correct these lines; a field with a separator or a line break in it stands in "quotes".',
  };
  return { from: file, isReplayable: true, columns, malformed, records };
}

/** All lines of a file, that of the names too. A piece's last one may go on in the next piece. */
async function* linesOf(file: string, options: TableOptions): AsyncGenerator<Placed | Fault, undefined> {
  const encoder = new TextEncoder();
  let [parts, size, enough]: [Uint8Array[], number, number] = [[], 0, fewest];
  let linesBefore = 0;
  let form: Form | undefined;
  for await (const text of readTextPieces(file, options)) {
    const part = encoder.encode(text);
    parts.push(part);
    size += part.length;
    if (size < enough) continue;
    const bytes = joinBytes(parts);
    form ??= formOf(bytes);
    const { lines: all, faults } = parseLines(bytes, form);
    const lines = faults.length > 0 ? all : all.slice(0, -1); // an open quote is a fault behind the last
    yield* placed(lines, file, linesBefore);
    const { info } = lines.at(-1) ?? { info: { bytes: 0, lines: 0 } };
    linesBefore += info.lines;
    const rest = bytes.slice(info.bytes);
    [parts, size] = [[rest], rest.length];
    enough = Math.min(size + Math.max(fewest, size), longestRecord + fewest);
    if (size > longestRecord) throw tooLong(file, linesBefore + 1);
  }
  const rest = joinBytes(parts);
  const { lines, faults } = parseLines(rest, form ?? formOf(rest));
  for (const { lines = 1, message } of faults)
    yield { at: `${file} line ${linesBefore + Number(lines)}`, says: message };
  yield* placed(lines, file, linesBefore);
}

function* placed(lines: readonly Line[], file: string, linesBefore: number): Generator<Placed> {
  let last = linesBefore;
  for (const { info, record } of lines) {
    yield { at: `${file} line ${last + 1}`, record };
    last = linesBefore + info.lines;
  }
}

function tooLong(file: string, line: number): PeftError {
  return new PeftError("data", {
    what: `The record at ${file} line ${line} has more than ${longestRecord >> 20} MiB.`,
    why: "a quote that is opened there may not be closed, or the separator may be another.",
    fix: "correct that line, or store longer texts as .jsonl or .parquet.",
  });
}

/** What the whole file has in common. */
interface Form {
  readonly delimiter: string;
  readonly newline: string | undefined;
}

function formOf(bytes: Uint8Array): Form {
  const text = new TextDecoder().decode(bytes.subarray(0, 2 ** 16));
  const newline = /\r\n|\n|\r/.exec(text.replace(/"[^"]*"/g, ""))?.[0];
  return { delimiter: delimiterOf(text), newline };
}

function parseLines(bytes: Uint8Array, { delimiter, newline }: Form): { lines: Line[]; faults: CsvError[] } {
  const faults: CsvError[] = [];
  const lines: unknown = parse(bytes, {
    delimiter,
    info: true,
    relax_quotes: true,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_skip: (error: CsvError | undefined): undefined => {
      if (error !== undefined) faults.push(error);
    },
    ...(newline === undefined ? {} : { record_delimiter: newline }),
  });
  return { lines: lines as Line[], faults };
}

/** The separator that occurs most in the first line, outside quotes. */
function delimiterOf(text: string): string {
  const first = text
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
