import { PeftError } from "../errors.js";
import type { Archive, StoredTensor } from "./archive.js";
import type { StoredType } from "./dtypes.js";
import { bytesPer, elements } from "./dtypes.js";
import type { Files } from "./files.js";
import { nodeFiles } from "./files.js";
import { byCodePoint } from "./json.js";

/** The order in which the Python package lays tensors out: wide types first, then by name. */
const typeNames: Readonly<Record<StoredType, string>> = {
  i64: "I64",
  f64: "F64",
  f32: "F32",
  i32: "I32",
  bf16: "BF16",
  f16: "F16",
  i16: "I16",
  i8: "I8",
  u8: "U8",
  bool: "BOOL",
};
const typeOrder = Object.keys(typeNames) as StoredType[];
const typeByName = new Map(typeOrder.map((dtype) => [typeNames[dtype], dtype]));
const maxHeader = 100_000_000;

/**
 * A tensor to be written: its bytes, row-major and little-endian, or a function that makes them when
 * their turn comes.
 */
export interface TensorToWrite {
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

/**
 * Reads the header of a safetensors file; every fault of it is one error (file-format). No tensor is
 * read.
 */
export async function openSafetensors(path: string, files: Files = nodeFiles): Promise<Archive> {
  const size = await files.size(path);
  if (size < 8) throw refused(path, [`it has ${size} bytes, and the length of the header alone takes 8`]);
  const first = await files.read(path, 0, 8);
  const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true));
  if (length > maxHeader || length > size - 8) {
    throw refused(path, [
      `its header claims ${length} bytes, the file has ${size} and a header at most ${maxHeader}`,
    ]);
  }
  const header = parseHeader(path, await files.read(path, 8, length));
  const tensors = new Map<string, StoredTensor>();
  const faults: string[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const tensor = readEntry(path, name, entry, 8 + length);
    if (typeof tensor === "string") faults.push(tensor);
    else tensors.set(name, tensor);
  }
  if (faults.length === 0) faults.push(...gaps([...tensors.values()], 8 + length, size));
  if (faults.length > 0) throw refused(path, faults);
  return { tensors, metadata: readMetadata(path, header["__metadata__"]) };
}

function parseHeader(path: string, bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isRecord(value)) return value;
  } catch {}
  throw refused(path, ["its header is not a JSON object"]);
}

function readEntry(path: string, name: string, entry: unknown, start: number): StoredTensor | string {
  if (!isRecord(entry)) return `"${name}" has no description`;
  const dtype = typeByName.get(String(entry["dtype"]));
  if (dtype === undefined) {
    const known = [...typeByName.keys()].join(" ");
    return `"${name}" is stored as ${JSON.stringify(entry["dtype"])}, known are ${known}`;
  }
  const shape = entry["shape"];
  const offsets = entry["data_offsets"];
  if (!isSizes(shape)) return `"${name}" has the shape ${JSON.stringify(shape)}`;
  if (!isSizes(offsets) || offsets.length !== 2) return `"${name}" has offsets ${JSON.stringify(offsets)}`;
  const [begin = 0, end = 0] = offsets;
  const bytes = elements(shape) * bytesPer[dtype];
  if (end - begin !== bytes) {
    return `"${name}" takes ${end - begin} bytes, its shape [${shape.join(", ")}] in ${dtype} takes ${bytes}`;
  }
  return { name, dtype, shape, path, offset: start + begin, bytes };
}

/** Data must follow each other without holes or overlaps up to the end of the file. */
function gaps(tensors: StoredTensor[], start: number, size: number): string[] {
  const faults: string[] = [];
  let at = start;
  for (const tensor of tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    const word = tensor.offset < at ? "overlap those before them" : "leave a hole before them";
    if (tensor.offset !== at) faults.push(`the data of "${tensor.name}" ${word}`);
    at = tensor.offset + tensor.bytes;
  }
  if (faults.length === 0 && at !== size) {
    faults.push(
      `its tensors end at byte ${at} and the file at byte ${size}${at > size ? ": it was cut short" : ""}`,
    );
  }
  return faults;
}

function readMetadata(path: string, value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (isRecord(value) && Object.values(value).every((item) => typeof item === "string")) {
    return value as Record<string, string>;
  }
  throw refused(path, ["its __metadata__ is not an object of strings"]);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);

function refused(path: string, faults: string[]): PeftError {
  const more = faults.length > 10 ? `; and ${faults.length - 10} more` : "";
  return new PeftError("file-format", {
    what: `"${path}" is not a sound safetensors file.`,
    why: `${faults.slice(0, 10).join("; ")}${more}.`,
    fix: "download the file again, or save it again where it came from.",
  });
}

/**
 * Writes a safetensors file under a temporary name first: the same bytes that Python's save_file writes, or with `asGiven` the tensors
 * in the order given. Tensors given as functions are made one by one, so a model larger than memory can be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
  files: Files = nodeFiles,
  asGiven = false,
): Promise<void> {
  const order = [...tensors];
  if (!asGiven)
    order.sort(
      ([nameA, a], [nameB, b]) =>
        typeOrder.indexOf(a.dtype) - typeOrder.indexOf(b.dtype) || byCodePoint(nameA, nameB),
    );
  await files.writeAtomic(path, content(order, metadata));
}

async function* content(
  order: [string, TensorToWrite][],
  metadata: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array> {
  const header: string[] = [`"__metadata__":${JSON.stringify(metadata)}`];
  let offset = 0;
  for (const [name, { dtype, shape }] of order) {
    const end = offset + elements(shape) * bytesPer[dtype];
    const entry = { dtype: typeNames[dtype], shape, data_offsets: [offset, end] };
    header.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    offset = end;
  }
  const text = new TextEncoder().encode(`{${header.join(",")}}`);
  const length = Math.ceil(text.byteLength / 8) * 8;
  const start = new Uint8Array(8 + length).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(length), true);
  start.set(text, 8);
  yield start;
  for (const [name, tensor] of order) yield await bytesOf(name, tensor);
}

async function bytesOf(name: string, { dtype, shape, data }: TensorToWrite): Promise<Uint8Array> {
  const bytes = typeof data === "function" ? await data() : data;
  const wanted = elements(shape) * bytesPer[dtype];
  if (bytes.byteLength === wanted) return bytes;
  throw new PeftError("internal", {
    what: `internal: "${name}" has ${bytes.byteLength} bytes to write.`,
    why: `its shape [${shape.join(", ")}] in ${dtype} takes ${wanted}.`,
    fix: "please report this.",
  });
}
