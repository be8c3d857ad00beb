import { at } from "../../present.js";
import { CompactReader, type Fields } from "./thrift_compact.js";

/** How many bits a level has, 0 where there are none. */
export type LevelWidths = readonly [repetition: number, definition: number];

/** What the pages of a column chunk are read by. */
export interface PagedColumn {
  readonly levels: LevelWidths;
  readonly isBoolean: boolean;
  /** How many values it may have. */
  readonly mostValues: number;
  /** undefined: its pages are not compressed. */
  readonly unpack: ((bytes: Uint8Array, length: number) => Uint8Array) | undefined;
}

/**
 * Checks the pages of a column chunk before the library reads them: it believes what a page says of its
 * values, and a run of equal values fills as much as the run says.
 * @param chunk - the bytes of the chunk
 */
export function checkPages(chunk: Uint8Array, column: PagedColumn): void {
  const reader = new CompactReader(chunk);
  let values = 0;
  // the library stops one byte before the end
  while (reader.offset < chunk.length - 1) {
    const page = pageOf(reader.struct());
    const stored = chunk.subarray(reader.offset, reader.offset + page.storedBytes);
    if (stored.length !== page.storedBytes) throw new Error("a page ends beyond its column");
    reader.offset += page.storedBytes;
    if (page.isDictionary) {
      if (page.values > 8 * page.bytes) throw new Error(tooMany(page.values));
      continue;
    }
    values += page.values;
    if (values > column.mostValues) throw new Error(tooMany(values));
    checkRuns(page, unpacked(stored, page, column), column);
  }
}

interface Page {
  readonly isDictionary: boolean;
  readonly values: number;
  /** Bytes when unpacked, and as they are stored. */
  readonly bytes: number;
  readonly storedBytes: number;
  /** The number of an encoding of Parquet. */
  readonly encoding: number;
  /** Bytes of levels that stand before what is compressed; undefined: they are compressed with the values. */
  readonly levelBytes: readonly [repetition: number, definition: number] | undefined;
  readonly isCompressed: boolean;
}

const pageTypes = { data: 0, dictionary: 2, dataV2: 3 };
const encodings = { plainDictionary: 2, runLength: 3, runLengthDictionary: 8 };

/** Reads the fields of PageHeader (parquet.thrift) by their numbers. */
function pageOf(header: Fields): Page {
  const type = header.number(1);
  const [bytes, storedBytes] = [header.size(2), header.size(3)];
  const of = header.struct(
    { [pageTypes.data]: 5, [pageTypes.dictionary]: 7, [pageTypes.dataV2]: 8 }[type] ?? 0,
  );
  if (of === undefined) throw new Error(`a page of type ${type}`);
  const isV2 = type === pageTypes.dataV2;
  const levelBytes = isV2 ? ([of.size(6), of.size(5)] as const) : undefined;
  return {
    isDictionary: type === pageTypes.dictionary,
    values: of.size(1),
    bytes,
    storedBytes,
    encoding: of.number(isV2 ? 4 : 2),
    levelBytes,
    isCompressed: !isV2 || of.flag(7, true),
  };
}

/** The levels and values of a page, as they stand one behind another. */
function unpacked(stored: Uint8Array, page: Page, { unpack }: PagedColumn): Uint8Array {
  if (unpack === undefined || !page.isCompressed) return stored;
  const before = page.levelBytes === undefined ? 0 : page.levelBytes[0] + page.levelBytes[1];
  const values = unpack(stored.subarray(before), page.bytes - before);
  if (before === 0) return values;
  const whole = new Uint8Array(before + values.length);
  whole.set(stored.subarray(0, before));
  whole.set(values, before);
  return whole;
}

/** Throws where a run says more values than its page has left. */
function checkRuns(page: Page, bytes: Uint8Array, { levels, isBoolean }: PagedColumn): void {
  const { values, encoding, levelBytes } = page;
  const reader = new CompactReader(bytes);
  for (const [i, width] of levels.entries()) {
    if (width === 0 && levelBytes === undefined) continue;
    const length = levelBytes === undefined ? reader.u32() : at(levelBytes, i);
    const end = reader.offset + length;
    if (end > bytes.length) throw new Error("the levels of a page end beyond it");
    if (width > 0) walkRuns(reader, width, values);
    reader.offset = end;
  }
  if (isBoolean && encoding === encodings.runLength) {
    reader.offset += 4;
    walkRuns(reader, 1, values);
  } else if (encoding === encodings.plainDictionary || encoding === encodings.runLengthDictionary) {
    if (reader.offset < bytes.length) walkRuns(reader, reader.byte(), values);
  }
}

/** Values of bit-packed runs come in eights, and the last ones may be padding. */
const PADDING = 512;

function walkRuns(reader: CompactReader, width: number, values: number): void {
  if (width > 32) throw new Error(`values of ${width} bits`);
  let left = values;
  while (left > 0 && reader.offset < reader.bytes.length) {
    const run = reader.varint();
    const isPacked = run % 2 === 1;
    const count = Math.floor(run / 2) * (isPacked ? 8 : 1);
    if (count > left + (isPacked ? PADDING : 0))
      throw new Error(`a run of ${count} values where ${left} are left`);
    reader.offset += isPacked ? (count * width) / 8 : Math.ceil(width / 8);
    left -= count;
  }
}

function tooMany(values: number): string {
  return `it claims ${values} values in a column that has fewer`;
}
