import type {
  AsyncBuffer,
  CompressionCodec,
  Compressors,
  FileMetaData,
  RowGroup,
  SchemaTree,
} from "hyparquet";
import { PeftError } from "../../errors.js";
import { refuseStandIn, STAND_IN_BYTES } from "../../hub/tensors/stand_in.js";
import { messageOf } from "../../narrow.js";
import { at } from "../../present.js";
import { option, words } from "../../words.js";
import type { FaultParts } from "../faults.js";
import type { RecordSource } from "../record_source.js";
import type { Reader } from "../types.js";
import { classNames } from "./class_names.js";
import { checkPages, type LevelWidths, type PagedColumn } from "./parquet_pages.js";
import type { DataRecord, TableOptions } from "./table.js";
import { asFloat, asInteger, isObject, printDate } from "./values.js";

/**
 * Apache Parquet, with any of its compressions. Class names that Hugging Face's `datasets` left in the file
 * are kept. What a file says of its own size is checked before anything is made of it.
 */
export async function readParquet(file: string, { reader, limit }: TableOptions): Promise<RecordSource> {
  const size = await reader.size(file);
  const source = { from: file, isReplayable: true, malformed };
  async function* none(): AsyncGenerator<DataRecord> {}
  if (size === 0) return { ...source, columns: [], records: none };
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
    const end = Math.min(limit ?? Infinity, Number(metadata.num_rows));
    if (end * children.length > mostValues(size)) throw new Error(`it claims ${end} rows in ${size} bytes`);
    const read = Object.fromEntries(children.map((child) => [child.element.name, readerOf(child)]));
    const valuesOf = (row: Record<string, unknown>): Record<string, unknown> =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, read[name]?.(value)]));
    async function* records(): AsyncGenerator<DataRecord> {
      const guarded = within(mostValues(size), compressors);
      for (const { group, rowStart, rowEnd } of groupsOf(metadata, end)) {
        const options = { file: buffer, metadata, compressors: guarded, rowStart, rowEnd, utf8: false };
        const rows = await checkGroup(buffer, group, schema, within(mostValues(size), compressors))
          .then(() => parquetReadObjects(options))
          .catch((cause) => {
            throw unreadable(file, cause);
          });
        for (const [i, row] of rows.entries())
          yield { at: `${file} row ${rowStart + i + 1}`, values: valuesOf(row) };
      }
    }
    return { ...source, columns: Object.keys(read), labelNames: classNames(featuresOf(metadata)), records };
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/** The bytes of a file, in a column of pictures or sound; a copy, which lets go of its page. */
function bytesOf(value: unknown): unknown {
  return value instanceof Uint8Array ? value.slice() : value;
}

/** Old files do not say that their bytes are text. */
function textOf(value: unknown): unknown {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : value;
}

function featuresOf({ key_value_metadata }: FileMetaData): string | undefined {
  return key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
}

/** A row group with its rows in the file: as many as are in memory together. */
interface Group {
  readonly group: RowGroup;
  readonly rowStart: number;
  readonly rowEnd: number;
}

function groupsOf({ row_groups }: FileMetaData, end: number): Group[] {
  let start = 0;
  return row_groups.flatMap((group) => {
    const [rowStart, rowEnd] = [start, Math.min(end, start + Number(group.num_rows))];
    start += Number(group.num_rows);
    return rowEnd > rowStart ? [{ group, rowStart, rowEnd }] : [];
  });
}

/** Checks the pages of a row group, column by column. */
async function checkGroup(
  buffer: AsyncBuffer,
  { columns, num_rows }: RowGroup,
  schema: SchemaTree,
  compressors: Compressors,
): Promise<void> {
  for (const { meta_data: column } of columns) {
    if (column === undefined) throw new Error("a row group has a column without metadata");
    const levels = levelWidths(pathTo(schema, column.path_in_schema));
    const start = Number(column.dictionary_page_offset || column.data_page_offset);
    const bytes = new Uint8Array(await buffer.slice(start, start + Number(column.total_compressed_size)));
    checkPages(bytes, {
      levels,
      isBoolean: column.type === "BOOLEAN",
      mostValues: levels[0] > 0 ? mostValues(buffer.byteLength) : Number(num_rows),
      unpack: unpackerOf(column.codec, compressors),
    });
  }
}

function unpackerOf(codec: CompressionCodec, compressors: Compressors): PagedColumn["unpack"] {
  if (codec === "UNCOMPRESSED") return undefined;
  const unpack = compressors[codec];
  if (unpack === undefined) throw new Error(`it is compressed by ${codec}`);
  return unpack;
}

function levelWidths(path: readonly SchemaTree[]): LevelWidths {
  const elements = path.map(({ element }) => element);
  const repeated = elements.filter(({ repetition_type }) => repetition_type === "REPEATED").length;
  const optional = elements.slice(1).filter(({ repetition_type }) => repetition_type !== "REQUIRED").length;
  return [widthOf(repeated), widthOf(optional)];
}

/** Bits of numbers up to the largest. */
function widthOf(largest: number): number {
  return 32 - Math.clz32(largest);
}

/** The schema from its root to a column. */
function pathTo(schema: SchemaTree, names: readonly string[]): SchemaTree[] {
  const path = [schema];
  for (const name of names) {
    const child = path.at(-1)?.children.find(({ element }) => element.name === name);
    if (child === undefined) throw new Error(`its schema has no column ${JSON.stringify(names)}`);
    path.push(child);
  }
  return path;
}

const malformed: FaultParts = {
  what: (n: number): string => `${n} malformed rows`,
  why: "each row has the columns of the schema.",
  fix: "write the file again.",
};

function unreadable(file: string, cause: unknown): PeftError {
  return new PeftError("data", {
    what: `${file} cannot be read as Parquet (${messageOf(cause)}).`,
    why: "it is damaged, or something else under that name.",
    fix: words`write it again, or name its form: ${option("format", "jsonl")}.`,
    cause,
  });
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

/**
 * Throws where a row group does not have the schema's columns, each once: the library would fail where nobody
 * listens.
 */
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
      // pages of nulls hold nothing, which LZ4 does not unpack
      return length === 0 ? new Uint8Array(0) : unpack(input, length);
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
  if (element.type === "BYTE_ARRAY" && element.converted_type === undefined && children.length === 0)
    return element.name === "bytes" ? bytesOf : textOf;
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
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, (named[name] ?? read)(item)]),
    );
  };
  return read;
}
