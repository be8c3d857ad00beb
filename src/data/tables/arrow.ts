import type { Table as ArrowTable, DataType } from "@uwdata/flechette";
import { PeftError } from "../../errors.js";
import { refuseStandIn } from "../../hub/tensors/stand_in.js";
import { count, type Fault } from "../faults.js";
import { firstOf, type RecordSource } from "../record_source.js";
import {
  bodyLength,
  checkLists,
  checkSchema,
  checkTable,
  DICTIONARY,
  fieldAt,
  RECORDS,
  SCHEMA,
} from "./arrow_checks.js";
import { joinBytes, readBytes } from "./bytes.js";
import { classNames } from "./class_names.js";
import type { DataRecord, TableOptions } from "./table.js";
import { asFloat, asInteger, isObject, printDate } from "./values.js";

/**
 * Apache Arrow, as a file (Feather 2) or as a stream, which Hugging Face's `datasets` writes: both are
 * messages one after another, read one batch of rows at a time. Reference:
 * https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
 */
export async function readArrow(file: string, options: TableOptions): Promise<RecordSource> {
  const [head] = await firstOf(tablesOf(file, options), 1);
  const fields = head?.schema.fields ?? [];
  const read = new Map(fields.map(({ name, type }) => [name, readerOf(type)]));
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    let row = 0;
    for await (const table of tablesOf(file, options))
      for (let i = 0; i < table.numRows; i++)
        yield { at: `${file} row ${++row}`, values: valuesOf(table, i) };
  }
  function valuesOf(table: ArrowTable, i: number): Record<string, unknown> {
    try {
      return Object.fromEntries([...read].map(([name, as]) => [name, as(table.getChild(name)?.at(i))]));
    } catch (cause) {
      throw unreadable(file, cause);
    }
  }
  const malformed = {
    what: (n: number): string => `${count(n, "malformed row")} in ${file}`,
    why: "each row has the columns of the schema.",
    fix: "write the file again.",
  };
  const labelNames = namesOf(file, head);
  return { from: file, isReplayable: true, columns: [...read.keys()], labelNames, malformed, records };
}

function namesOf(file: string, head: ArrowTable | undefined): Record<string, string[]> {
  try {
    return classNames(head?.schema.metadata?.get("huggingface"));
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/** First a table without rows, for the schema; then one for each batch. */
async function* tablesOf(file: string, options: TableOptions): AsyncGenerator<ArrowTable> {
  // loaded when such a file is read, so that a start without it stays quick
  const { tableFromIPC } = await import("@uwdata/flechette");
  const before: Uint8Array[] = [];
  for await (const message of messagesOf(file, options)) {
    try {
      const [header] = [message[headerType(message)]];
      if (header !== RECORDS) before.push(message);
      if (header === DICTIONARY) continue;
      const table = tableFromIPC(header === RECORDS ? [...before, message] : before, settings);
      if (header === SCHEMA) checkSchema(table);
      checkTable(table, message.length);
      yield table;
    } catch (cause) {
      throw unreadable(file, cause);
    }
  }
}

const settings = { useBigInt: true, useDate: true };
/** The largest message that is read; writers make batches of some thousand rows. */
const largestMessage = 2 ** 31 - 1;

/** Messages with their bodies, as they lie in the file. */
async function* messagesOf(file: string, options: TableOptions): AsyncGenerator<Uint8Array> {
  const take = takerOf(readBytes(file, options));
  const start = await take(8);
  if (start.length === 0) return;
  refuseStandIn(file, start);
  const isFile = String.fromCharCode(...start.subarray(0, 6)) === "ARROW1";
  try {
    for (let prefix = isFile ? await take(8) : start; prefix.length === 8; prefix = await take(8)) {
      const view = new DataView(prefix.buffer, prefix.byteOffset);
      const size = view.getInt32(4, true);
      if (view.getInt32(0, true) !== -1) throw new Error("a message does not begin as one");
      if (size === 0) return;
      const metadata = await take(size);
      checkLists(metadata);
      const body = bodyLength(metadata);
      const bytes = await take(body);
      if (metadata.length < size || bytes.length < body) throw new Error("it is cut short");
      const message = new Uint8Array(8 + size + body);
      message.set(prefix);
      message.set(metadata, 8);
      message.set(bytes, 8 + size);
      yield message;
    }
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/** Gives as many bytes as are asked for, fewer at the end. Memory grows as they come, not as a file says. */
function takerOf(pieces: AsyncGenerator<Uint8Array>): (n: number) => Promise<Uint8Array> {
  let rest: Uint8Array = new Uint8Array();
  return async (n) => {
    if (!(n >= 0 && n <= largestMessage)) throw new Error(`a part of it claims ${n} bytes`);
    const parts = [rest];
    let have = rest.length;
    while (have < n) {
      const { done, value } = await pieces.next();
      if (done) break;
      parts.push(value);
      have += value.length;
    }
    const all = parts.length === 1 ? rest : joinBytes(parts);
    rest = all.subarray(n);
    return all.slice(0, n);
  };
}

/** Where Message.header_type stands in a message with its prefix. */
function headerType(message: Uint8Array): number {
  const at = fieldAt(new DataView(message.buffer, message.byteOffset + 8), 1);
  return at === undefined ? -1 : at + 8;
}

/** How a column's values are read: a float stays one, though it be whole. */
function readerOf(type: DataType): (value: unknown) => unknown {
  const isFloat = type.typeId === FLOAT;
  const children = "children" in type && Array.isArray(type.children) ? type.children : [];
  const named = new Map(children.map(({ name, type }) => [name, readerOf(type)]));
  const [item] = named.values();
  const read = (value: unknown): unknown => {
    if (value === undefined || value === null) return value;
    if (typeof value === "bigint") return asInteger(value);
    if (typeof value === "number") return isFloat ? asFloat(value) : value;
    if (value instanceof Date) return printDate(value);
    if (ArrayBuffer.isView(value) && !(value instanceof DataView))
      return Array.from(value as Int32Array, item ?? read);
    if (Array.isArray(value)) return value.map(item ?? read);
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, (named.get(name) ?? read)(v)]));
  };
  return read;
}

const FLOAT = 3;

function unreadable(file: string, cause: unknown): PeftError {
  if (cause instanceof PeftError) return cause;
  return new PeftError("data", {
    what: `${file} cannot be read as Arrow (${cause instanceof Error ? cause.message : cause}).`,
    why: "it is damaged, compressed inside, or something else under that name.",
    fix: 'write it again without compression: pyarrow.feather.write_feather(table, path, compression="uncompressed").',
    cause,
  });
}
