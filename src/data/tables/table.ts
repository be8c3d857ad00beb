import { PeftError } from "../../errors.js";
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
}

export type TableReader = (file: string, options: TableOptions) => Promise<Table>;

const mebibyte = 2 ** 20;
const longestText = 500 * mebibyte;

/** The names of all records' fields, in the order of their first appearance. */
export function columnsOf(records: readonly DataRecord[]): string[] {
  const names = new Set<string>();
  for (const record of records) for (const name of Object.keys(record.values)) names.add(name);
  return [...names];
}

/** A whole file as text, without a byte order mark. */
export async function readText(file: string, reader: Reader): Promise<string> {
  const size = await reader.size(file);
  if (size > longestText) {
    throw new PeftError("data", {
      what: `${file} has ${Math.round(size / mebibyte)} MiB.`,
      why: `a JSON or CSV file is read as one text, of at most ${longestText / mebibyte} MiB.`,
      fix: "store it as .jsonl or .parquet, which are read in pieces.",
    });
  }
  return new TextDecoder().decode(await reader.read(file, 0, size));
}

/** The lines of a file, read piece by piece; the file itself may be larger than a string can be. */
export async function* readLines(file: string, reader: Reader): AsyncGenerator<string> {
  const size = await reader.size(file);
  const decoder = new TextDecoder();
  let rest = "";
  for (let offset = 0; offset < size; offset += 4 * mebibyte) {
    const length = Math.min(4 * mebibyte, size - offset);
    rest += decoder.decode(await reader.read(file, offset, length), { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A few words that show a value in an error. */
export function show(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : String(JSON.stringify(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
