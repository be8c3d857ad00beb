import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { PeftError } from "../../errors.js";
import { option, words } from "../../words.js";
import type { Reader } from "../types.js";
import type { Table, TableOptions } from "./table.js";
import { isRecord } from "./values.js";

/** Apache Parquet, with any of its compressions. Class names that Hugging Face's `datasets` left in the file are kept. */
export async function readParquet(file: string, { reader, limit }: TableOptions): Promise<Table> {
  const size = await reader.size(file);
  if (size === 0) return { columns: [], records: [] };
  try {
    // loaded when such a file is read, so that a start without it stays quick
    const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import("hyparquet");
    const { compressors } = await import("hyparquet-compressors");
    const buffer = asBuffer(file, size, reader);
    const metadata = await parquetMetadataAsync(buffer);
    const columns = parquetSchema(metadata).children.map((child) => child.element.name);
    const rowEnd = Math.min(limit ?? Infinity, Number(metadata.num_rows));
    const rows = await parquetReadObjects({ file: buffer, metadata, compressors, rowEnd });
    const records = rows.map((row, i) => ({ at: `${file} row ${i + 1}`, values: plain(row) as typeof row }));
    return { columns, records, labelNames: classNames(metadata) };
  } catch (cause) {
    throw new PeftError("data", {
      what: `${file} cannot be read as Parquet (${(cause as Error).message}).`,
      why: "it is damaged, or something else under that name.",
      fix: words`write it again, or say its form: ${option("format", "jsonl")}.`,
      cause,
    });
  }
}

function asBuffer(file: string, byteLength: number, reader: Reader): AsyncBuffer {
  const slice = async (start: number, end = byteLength): Promise<ArrayBuffer> => {
    const from = start < 0 ? byteLength + start : start;
    const bytes = await reader.read(file, from, Math.max(0, end - from));
    return new Uint8Array(bytes).buffer;
  };
  return { byteLength, slice };
}

/** 64-bit integers as numbers: ids of classes and positions are small. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return Array.from(value as Int32Array, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (isRecord(value) && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, plain(v)]));
  }
  return value;
}

/** `datasets` stores its features as JSON: a ClassLabel's names stand under names, a list of them under feature. */
function classNames(metadata: FileMetaData): Record<string, string[]> {
  const text = metadata.key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
  if (text === undefined) return {};
  const features = dig(JSON.parse(text), "info", "features");
  if (!isRecord(features)) return {};
  const found: Record<string, string[]> = {};
  for (const [column, feature] of Object.entries(features)) {
    const names = dig(feature, "names") ?? dig(feature, "feature", "names");
    if (Array.isArray(names)) found[column] = names.map(String);
  }
  return found;
}

function dig(value: unknown, ...path: string[]): unknown {
  return path.reduce((v, name) => (isRecord(v) ? v[name] : undefined), value);
}
