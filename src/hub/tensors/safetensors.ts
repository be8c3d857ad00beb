import { PeftError } from "../../errors.js";
import { keysOf } from "../../narrow.js";
import type { Files } from "../files.js";
import { nodeFiles } from "../files.js";
import { byCodePoint } from "../json.js";
import { JsonFields, scanStrictJson } from "../json_scan.js";
import type { Archive, StoredTensor } from "./archive.js";
import type { StoredType } from "./dtypes.js";
import { bytesPer, elements, storedTypes } from "./dtypes.js";
import { refuseStandIn, STAND_IN_BYTES } from "./stand_in.js";

const typeByName = new Map<string, StoredType>(keysOf(storedTypes).map((type) => [storedTypes[type], type]));
const typeOrder = [...typeByName.values()];
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
  refuseStandIn(path, await files.read(path, 0, Math.min(STAND_IN_BYTES, size)));
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
  for (const [name, entry] of header.tensors) {
    const tensor = readEntry(path, name, entry, 8 + length);
    if (typeof tensor === "string") faults.push(tensor);
    else tensors.set(name, tensor);
  }
  if (faults.length === 0) faults.push(...gaps([...tensors.values()], 8 + length, size));
  if (faults.length > 0) throw refused(path, faults);
  return { tensors, metadata: header.metadata };
}

interface Header {
  readonly tensors: ReadonlyMap<string, unknown>;
  readonly metadata: Record<string, string>;
}

/**
 * As the reference has it, of two tensors of one name the last counts; any other field that is repeated is a
 * fault.
 */
function parseHeader(path: string, bytes: Uint8Array): Header {
  const fields = jsonOf(path, bytes);
  if (!(fields instanceof JsonFields)) throw refused(path, ["its header is not a JSON object"]);
  const metadata = fields.list.filter(([name]) => name === "__metadata__");
  if (metadata.length > 1) throw refused(path, ["its header has __metadata__ twice"]);
  const tensors = new Map(fields.list.filter(([name]) => name !== "__metadata__"));
  return { tensors, metadata: readMetadata(path, metadata[0]?.[1]) };
}

function jsonOf(path: string, bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refused(path, ["its header is not UTF-8"]);
  }
  try {
    return scanStrictJson(text, path);
  } catch (error) {
    if (error instanceof PeftError)
      throw refused(path, [`its header is not JSON: ${error.why.slice(0, -1)}`]);
    throw error;
  }
}

/** What the header says of a tensor: an object, or a list in this order. */
const FIELDS = ["dtype", "shape", "data_offsets"] as const;

function readEntry(path: string, name: string, entry: unknown, start: number): StoredTensor | string {
  const [type, shape, offsets] = valuesOf(entry) ?? [];
  if (type === undefined) return `"${name}" does not have one dtype, one shape and one data_offsets`;
  const dtype = typeByName.get(nameOf(type));
  if (dtype === undefined)
    return `"${name}" is stored as ${shown(type)}, known are ${[...typeByName.keys()].join(" ")}`;
  if (!isSizes(shape)) return `"${name}" has the shape ${shown(shape)}`;
  if (!isSizes(offsets)) return `"${name}" has offsets ${shown(offsets)}`;
  const [begin, end, ...others] = offsets;
  if (begin === undefined || end === undefined || others.length > 0)
    return `"${name}" has offsets ${shown(offsets)}`;
  const sizes = shape.map(Number);
  const bytes = bytesOfShape(shape, dtype);
  if (bytes === undefined)
    return `"${name}" has the shape [${sizes.join(", ")}], which is no whole number of bytes`;
  if (end - begin !== bytes)
    return `"${name}" takes ${end - begin} bytes, its shape [${sizes.join(", ")}] in ${dtype} takes ${bytes}`;
  return { name, dtype, shape: sizes, path, offset: start + Number(begin), bytes: Number(bytes) };
}

/** A name stands alone, or as Rust's enums may: {"F32": null}. */
function nameOf(type: unknown): string {
  const [[name, value] = ["", type], more] = type instanceof JsonFields ? type.list : [];
  if (typeof type === "string") return type;
  return value === null && more === undefined ? name : "";
}

function valuesOf(entry: unknown): unknown[] | undefined {
  if (Array.isArray(entry)) return entry.length === FIELDS.length ? entry : undefined;
  if (!(entry instanceof JsonFields)) return undefined;
  const pairs = FIELDS.map((field) => entry.list.filter(([key]) => key === field));
  return pairs.every(({ length }) => length === 1) ? pairs.flat().map(([, value]) => value) : undefined;
}

/** Undefined where they are more than 64 bits can count, or end within a byte. */
function bytesOfShape(shape: readonly bigint[], dtype: StoredType): bigint | undefined {
  let bits = 1n;
  for (const size of [...shape, BigInt(8 * bytesPer[dtype])]) {
    bits *= size;
    if (bits !== BigInt.asUintN(64, bits)) return undefined;
  }
  return bits % 8n === 0n ? bits / 8n : undefined;
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
  if (
    value instanceof JsonFields &&
    value.list.every((field): field is [string, string] => typeof field[1] === "string")
  )
    return Object.fromEntries(value.list);
  throw refused(path, ["its __metadata__ is not an object of strings"]);
}

const isSizes = (value: unknown): value is bigint[] =>
  Array.isArray(value) && value.every((item) => typeof item === "bigint");

/** A value of a header as its text has it, shortened. */
function shown(value: unknown): string {
  if (Array.isArray(value))
    return `[${value.slice(0, 8).map(shown).join(", ")}${value.length > 8 ? ", ..." : ""}]`;
  if (value instanceof JsonFields) return "an object";
  if (typeof value === "number") return Number.isInteger(value) && value >= 0 ? value.toFixed(1) : `${value}`;
  return typeof value === "bigint" ? `${value}` : JSON.stringify(value).slice(0, 40);
}

function refused(path: string, faults: string[]): PeftError {
  const more = faults.length > 10 ? `; and ${faults.length - 10} more` : "";
  return new PeftError("file-format", {
    what: `"${path}" is not a sound safetensors file.`,
    why: `${faults.slice(0, 10).join("; ")}${more}.`,
    fix: "download the file again, or save it again where it came from.",
  });
}

/**
 * Writes a safetensors file under a temporary name first: the same bytes that Python's save_file writes, or
 * with `asGiven` the tensors in the order given. Tensors given as functions are made one by one, so a model
 * larger than memory can be written.
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
    const entry = { dtype: storedTypes[dtype], shape, data_offsets: [offset, end] };
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
