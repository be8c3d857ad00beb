/**
 * What an Arrow file says of its own parts, held against the bytes that are there: flechette makes room for
 * whatever they claim.
 */

/** Kinds of messages. */
export const SCHEMA = 1;
export const DICTIONARY = 2;
export const RECORDS = 3;

/** What is checked of a table of flechette's. */
interface Columns {
  readonly numRows: number;
  readonly schema: { readonly fields: readonly { readonly name: string; readonly type: object }[] };
  readonly children: readonly { readonly data: readonly Part[] }[];
}

interface Part {
  readonly length: number;
  readonly type: object;
  readonly values?: ArrayLike<unknown> | undefined;
  readonly offsets?: Numbers | null | undefined;
  readonly sizes?: Numbers | undefined;
  readonly children?: readonly Part[] | undefined;
}

type Numbers = ArrayLike<number | bigint>;

/** A row takes a bit at least, but columns of nulls and short batches take nothing. */
function mostRows(bytes: number): number {
  return 8 * bytes + 1024;
}

/** Throws where columns claim more than `bytes` can hold, or lists reach out of what they are lists of. */
export function checkTable({ numRows, schema, children }: Columns, bytes: number): void {
  const most = mostRows(bytes);
  if (numRows > most) throw new Error("it claims more rows than it holds");
  for (const [i, { data }] of children.entries())
    for (const batch of data) checkBatch(batch, most, schema.fields[i]?.name ?? "");
}

function checkBatch(batch: Part, most: number, column: string): void {
  const { length, offsets, sizes, values, type, children = [] } = batch;
  if (!(length >= 0 && length <= most)) throw new Error(`column "${column}" claims ${length} values`);
  const [items] = children;
  const end = items?.length ?? values?.length ?? 0;
  const isUnion = "typeIds" in type;
  if (offsets !== undefined && offsets !== null && !isUnion) {
    const isWithin = sizes ? areViews(offsets, sizes, length, end, most) : areOffsets(offsets, length, end);
    if (!isWithin) throw new Error(`lists of column "${column}" reach out of their values`);
  }
  if (items !== undefined && "stride" in type && !(length * Number(type.stride) <= end))
    throw new Error(`lists of column "${column}" reach out of their values`);
  for (const child of children) checkBatch(child, most, column);
}

/** Whether offsets rise from 0 or more to `end` or less. */
function areOffsets(offsets: Numbers, length: number, end: number): boolean {
  if (length === 0) return true;
  let last = 0;
  for (let i = 0; i <= length; i++) {
    const offset = Number(offsets[i]);
    if (!(offset >= last)) return false;
    last = offset;
  }
  return last <= end;
}

/** Views may overlap: together they have no more items than `most` and `end`. */
function areViews(offsets: Numbers, sizes: Numbers, length: number, end: number, most: number): boolean {
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const [offset, size] = [Number(offsets[i]), Number(sizes[i])];
    if (!(offset >= 0 && size >= 0 && offset + size <= end)) return false;
    sum += size;
  }
  return sum <= most + end;
}

/** Throws where a dictionary's values are lists: flechette reads them before they can be checked. */
export function checkSchema({ schema }: Columns): void {
  const check = (type: object): void => {
    if (!("children" in type && Array.isArray(type.children))) {
      const values = "dictionary" in type ? type.dictionary : undefined;
      if (typeof values === "object" && values !== null && "children" in values)
        throw new Error("a dictionary's values are lists or structs, which are not read");
    } else for (const child of type.children) check(child.type);
  };
  for (const { type } of schema.fields) check(type);
}

/** Where a field of a flatbuffer's root table lies, by its number; undefined: it has its default. */
export function fieldAt(
  view: DataView,
  field: number,
  table: number = view.getInt32(0, true),
): number | undefined {
  const vtable = table - view.getInt32(table, true);
  const slot = 4 + 2 * field;
  const offset = slot < view.getUint16(vtable, true) ? view.getUint16(vtable + slot, true) : 0;
  return offset === 0 ? undefined : table + offset;
}

/**
 * Throws where a list of a message's header claims more parts than its bytes can hold: the library would make
 * room for them.
 */
export function checkLists(metadata: Uint8Array): void {
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength);
  let budget = metadata.length;
  const list = (table: number, field: number): number[] => {
    const at = fieldAt(view, field, table);
    if (at === undefined) return [];
    const start = at + view.getInt32(at, true);
    const n = view.getInt32(start, true);
    budget -= n;
    if (n < 0 || budget < 0) throw new Error(`a list of it claims ${n} parts`);
    return Array.from({ length: n }, (_, i) => start + 4 + 4 * i);
  };
  const below = (at: number): number => at + view.getInt32(at, true);
  const field = (table: number): void => {
    list(table, 6);
    for (const child of list(table, 5)) field(below(child));
  };
  const root = view.getInt32(0, true);
  const kindAt = fieldAt(view, 1, root);
  const headerAt = fieldAt(view, 2, root);
  if (kindAt === undefined || headerAt === undefined) throw new Error("a message has no header");
  const kind = view.getUint8(kindAt);
  let header = below(headerAt);
  if (kind === SCHEMA) {
    list(header, 2);
    for (const at of list(header, 1)) field(below(at));
    return;
  }
  if (kind === DICTIONARY) {
    const data = fieldAt(view, 1, header);
    if (data === undefined) throw new Error("a dictionary has no data");
    header = below(data);
  }
  const lengthAt = fieldAt(view, 0, header);
  const length = lengthAt === undefined ? 0 : Number(view.getBigInt64(lengthAt, true));
  const body = bodyLength(metadata);
  if (length < 0 || length > mostRows(body)) throw new Error(`it claims ${length} rows in ${body} bytes`);
  for (const [part, bytes] of [
    [1, 16],
    [2, 16],
  ] as const)
    if (list(header, part).length * bytes > metadata.length)
      throw new Error("it claims parts that are not there");
}

/** Message.bodyLength. */
export function bodyLength(metadata: Uint8Array): number {
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength);
  const at = fieldAt(view, 3);
  return at === undefined ? 0 : Number(view.getBigInt64(at, true));
}
