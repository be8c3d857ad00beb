import { PeftError } from "../../errors.js";
import type { Files } from "../files.js";

/** Where the bytes of a stored (uncompressed) entry lie in the archive. */
export interface ZipEntry {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

const endRecord = 0x06054b50;
const endRecord64 = 0x06064b50;
const endLocator64 = 0x07064b50;
const centralHeader = 0x02014b50;
const localHeader = 0x04034b50;
const maxDirectory = 256 << 20;

/**
 * Finds every entry of a zip archive with stored entries only, as torch.save writes them; 64-bit sizes
 * included.
 */
export async function locateZipEntries(path: string, files: Files): Promise<Map<string, ZipEntry>> {
  const size = await files.size(path);
  const { count, bytes, offset } = await findDirectory(path, size, files);
  if (offset + bytes > size || bytes > maxDirectory)
    throw badZip(path, "its directory lies outside the file");
  const view = viewOf(await files.read(path, offset, bytes));
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    const central = readCentral(path, view, at);
    at = central.next;
    if (central.name.endsWith("/")) continue;
    if (entries.has(central.name)) throw badZip(path, `it holds two entries "${central.name}"`);
    entries.set(central.name, await locate(path, central, offset, files));
  }
  return entries;
}

interface Directory {
  readonly count: number;
  readonly bytes: number;
  readonly offset: number;
}

/** The end record stands in the last 64 KiB; 0xffff or 0xffffffff in it point to its 64-bit sibling. */
async function findDirectory(path: string, size: number, files: Files): Promise<Directory> {
  const start = Math.max(0, size - 65_557);
  const view = viewOf(await files.read(path, start, size - start));
  for (let at = view.byteLength - 22; at >= 0; at--) {
    if (view.getUint32(at, true) !== endRecord) continue;
    const short = {
      count: view.getUint16(at + 10, true),
      bytes: view.getUint32(at + 12, true),
      offset: view.getUint32(at + 16, true),
    };
    const wide = at >= 20 && view.getUint32(at - 20, true) === endLocator64;
    if (!wide) return short;
    return readWideEnd(path, Number(view.getBigUint64(at - 20 + 8, true)), size, files);
  }
  throw badZip(path, "the record at its end is missing: the file was cut short");
}

async function readWideEnd(path: string, at: number, size: number, files: Files): Promise<Directory> {
  if (at + 56 > size) throw badZip(path, "its 64-bit end record lies outside the file");
  const view = viewOf(await files.read(path, at, 56));
  if (view.getUint32(0, true) !== endRecord64) throw badZip(path, "its 64-bit end record is damaged");
  const number = (offset: number): number => Number(view.getBigUint64(offset, true));
  return { count: number(32), bytes: number(40), offset: number(48) };
}

interface Central extends ZipEntry {
  readonly next: number;
}

function readCentral(path: string, view: DataView, at: number): Central {
  if (at + 46 > view.byteLength || view.getUint32(at, true) !== centralHeader) {
    throw badZip(path, "its directory is damaged");
  }
  const method = view.getUint16(at + 10, true);
  const encrypted = (view.getUint16(at + 8, true) & 1) === 1;
  const packed = view.getUint32(at + 20, true);
  const bytes = view.getUint32(at + 24, true);
  const nameLength = view.getUint16(at + 28, true);
  const extraLength = view.getUint16(at + 30, true);
  const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
  if (next > view.byteLength) throw badZip(path, "its directory is damaged");
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength));
  if (method !== 0 || encrypted) throw badZip(path, `its entry "${name}" is compressed or encrypted`);
  const short = [bytes, packed, view.getUint32(at + 42, true)];
  const [size = 0, , offset = 0] = widen(view, at + 46 + nameLength, extraLength, short);
  return { name, bytes: size, offset, next };
}

/** The 64-bit extra field (id 1) holds, in order, those of the three numbers that read 0xffffffff. */
function widen(view: DataView, start: number, length: number, short: number[]): number[] {
  for (let at = start; at + 4 <= start + length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    const end = Math.min(at + 4 + view.getUint16(at + 2, true), start + length);
    let from = at + 4;
    return short.map((value) => {
      if (value !== 0xffffffff || from + 8 > end) return value;
      from += 8;
      return Number(view.getBigUint64(from - 8, true));
    });
  }
  return short;
}

/** The data follow the local header, whose own name and extra field (torch pads there) say where. */
async function locate(path: string, entry: Central, directory: number, files: Files): Promise<ZipEntry> {
  const { name, bytes } = entry;
  if (entry.offset + 30 > directory) throw badZip(path, `its entry "${name}" lies outside the file`);
  const view = viewOf(await files.read(path, entry.offset, 30));
  if (view.getUint32(0, true) !== localHeader)
    throw badZip(path, `the header of its entry "${name}" is damaged`);
  const offset = entry.offset + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (offset + bytes > directory) throw badZip(path, `its entry "${name}" reaches past the data`);
  return { name, offset, bytes };
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function badZip(path: string, why: string): PeftError {
  return new PeftError("file-format", {
    what: `"${path}" is not a sound archive of torch.save.`,
    why: `${why}.`,
    fix: "download the file again, or save it again with torch.save.",
  });
}
