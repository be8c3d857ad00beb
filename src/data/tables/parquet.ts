import type { AsyncBuffer, Compressors, FileMetaData, SchemaTree } from "hyparquet";
import { PeftError } from "../../errors.js";
import { refuseStandIn, STAND_IN_BYTES } from "../../hub/stand_in.js";
import { at } from "../../present.js";
import { option, words } from "../../words.js";
import type { Reader } from "../types.js";
import type { Table, TableOptions } from "./table.js";
import { asFloat, asInteger, isRecord, printDate } from "./values.js";

/**
 * Apache Parquet, with any of its compressions. Class names that Hugging Face's `datasets` left in the file are kept. What a file
 * says of its own size is checked before anything is made of it.
 */
export async function readParquet(file: string, { reader, limit }: TableOptions): Promise<Table> {
  const size = await reader.size(file);
  if (size === 0) return { columns: [], records: [] };
  refuseStandIn(file, await reader.read(file, 0, Math.min(size, STAND_IN_BYTES)));
  try {
    // loaded when such a file is read, so that a start without it stays quick
    const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import("hyparquet");
    const { compressors } = await import("hyparquet-compressors");
    const buffer = asBuffer(file, size, reader);
    const metadata = await parquetMetadataAsync(buffer, { geoparquet: false });
    checkSchema(metadata);
    const schema = parquetSchema(metadata);
    checkColumns(metadata, schema);
    const { children } = schema;
    const rowEnd = Math.min(limit ?? Infinity, Number(metadata.num_rows));
    if (rowEnd * children.length > mostValues(size))
      throw new Error(`it claims ${rowEnd} rows in ${size} bytes`);
    const rows = await parquetReadObjects({
      file: buffer,
      metadata,
      compressors: within(mostValues(size), compressors),
      rowEnd,
    });
    const read = Object.fromEntries(children.map((child) => [child.element.name, readerOf(child)]));
    const records = rows.map((row, i) => ({
      at: `${file} row ${i + 1}`,
      values: Object.fromEntries(Object.entries(row).map(([name, value]) => [name, read[name]?.(value)])),
    }));
    return { columns: Object.keys(read), records, labelNames: classNames(metadata) };
  } catch (cause) {
    throw new PeftError("data", {
      what: `${file} cannot be read as Parquet (${(cause as Error).message}).`,
      why: "it is damaged, or something else under that name.",
      fix: words`write it again, or name its form: ${option("format", "jsonl")}.`,
      cause,
    });
  }
}

/** A thousandfold is what compressors reach. */
function mostValues(size: number): number {
  return Math.max(2 ** 20, 1000 * size);
}

/** Throws where a schema's nodes are not as many as it says. */
function checkSchema({ schema }: FileMetaData): void {
  let open = 1;
  for (const { num_children: children = 0 } of schema) {
    if (!(Number.isInteger(children) && children >= 0 && open > 0)) throw new Error("its schema is no tree");
    open += children - 1;
  }
  if (open !== 0) throw new Error("its schema is no tree");
}

/** Throws where a row group does not have the schema's columns, each once: the library would fail where nobody listens. */
function checkColumns({ row_groups }: FileMetaData, schema: SchemaTree): void {
  const pathsOf = ({ path, children }: SchemaTree): string[] =>
    children.length === 0 ? [JSON.stringify(path)] : children.flatMap(pathsOf);
  const wanted = pathsOf(schema).sort().join();
  for (const { columns } of row_groups) {
    const paths = columns.map(({ meta_data }) => JSON.stringify(meta_data?.path_in_schema));
    if (paths.sort().join() !== wanted) throw new Error("a row group has not the columns of the schema");
  }
}

/** Compressors that stop where a file unpacks to more than it can hold. */
function within(budget: number, compressors: Compressors): Compressors {
  let left = budget;
  const guarded = Object.entries(compressors).map(([codec, unpack]) => [
    codec,
    (input: Uint8Array, length: number): Uint8Array => {
      left -= length;
      if (!(length >= 0 && left >= 0)) throw new Error(`it unpacks to more than ${budget} bytes`);
      return unpack(input, length);
    },
  ]);
  return Object.fromEntries(guarded);
}

function asBuffer(file: string, byteLength: number, reader: Reader): AsyncBuffer {
  const slice = async (start: number, end = byteLength): Promise<ArrayBuffer> => {
    const from = start < 0 ? byteLength + start : start;
    const bytes = await reader.read(file, from, Math.max(0, end - from));
    return new Uint8Array(bytes).buffer;
  };
  return { byteLength, slice };
}

/** How a column's values are read, by what the schema says of them: a float stays one, though it be whole. */
function readerOf({ element, children }: SchemaTree): (value: unknown) => unknown {
  const isFloat = element.type === "FLOAT" || element.type === "DOUBLE";
  const named = Object.fromEntries(children.map((child) => [child.element.name, readerOf(child)]));
  const [inner] = element.converted_type === "LIST" ? children : [];
  const item = inner && readerOf(inner.children.length === 1 ? at(inner.children, 0) : inner);
  const read = (value: unknown): unknown => {
    if (typeof value === "bigint") return asInteger(value);
    if (typeof value === "number") return isFloat ? asFloat(value) : value;
    if (value instanceof Date) return printDate(value);
    if (ArrayBuffer.isView(value) && !(value instanceof DataView))
      return Array.from(value as Int32Array, read);
    if (Array.isArray(value)) return value.map(item ?? read);
    if (!isRecord(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, (named[name] ?? read)(item)]),
    );
  };
  return read;
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
