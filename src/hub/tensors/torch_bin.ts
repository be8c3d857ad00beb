import type { Files } from "../files.js";
import { nodeFiles } from "../files.js";
import type { Archive, StoredTensor } from "./archive.js";
import type { StoredType } from "./dtypes.js";
import { bytesPer, elements } from "./dtypes.js";
import type { PickleReader, PickleValue } from "./pickle.js";
import { describe, PickleEnd, readPickle, refusedPickle } from "./pickle.js";
import { refuseStandIn, STAND_IN_BYTES } from "./stand_in.js";
import { locateZipEntries } from "./zip.js";

interface Storage {
  readonly key: string;
  readonly dtype: StoredType;
  readonly length: number;
  /** For a storage that is a part of another: where it begins there, in elements. */
  readonly start: number;
}
interface View {
  readonly storage: Storage;
  readonly start: number;
  readonly shape: number[];
  readonly strides: number[];
}
type Made = { storage: Storage } | { view: View };
type Value = PickleValue<Made>;

const storageTypes: Readonly<Record<string, StoredType>> = {
  FloatStorage: "f32",
  HalfStorage: "f16",
  BFloat16Storage: "bf16",
  DoubleStorage: "f64",
  LongStorage: "i64",
  IntStorage: "i32",
  ShortStorage: "i16",
  CharStorage: "i8",
  ByteStorage: "u8",
  BoolStorage: "bool",
  ComplexFloatStorage: "c64",
};

/**
 * Reads the description of a file of torch.save, in zip or legacy form; tensors stay in the file where
 * they can.
 */
export async function openTorchBin(path: string, files: Files = nodeFiles): Promise<Archive> {
  const size = await files.size(path);
  const first = await files.read(path, 0, Math.min(STAND_IN_BYTES, size));
  refuseStandIn(path, first);
  const isZip = first[0] === 0x50 && first[1] === 0x4b; // "PK"
  const { root, storages } = isZip ? await openZip(path, files) : await openLegacy(path, size, files);
  const tensors = new Map<string, StoredTensor>();
  let copied = 0;
  for (const [name, view] of tensorsOf(root, path)) {
    const place = storages.get(view.storage.key);
    if (place === undefined) throw refusedPickle(path, `the storage of "${name}" is not in the file`);
    const tensor = await placeTensor(name, view, place, path, files);
    copied += tensor.data?.length ?? 0;
    if (copied > 2 * size) throw refusedPickle(path, "its transposed tensors take more than twice the file");
    tensors.set(name, tensor);
  }
  return { tensors, metadata: {} };
}

/** Bytes of a storage in the file. */
interface Place {
  readonly offset: number;
  readonly bytes: number;
}
interface Opened {
  readonly root: Value;
  readonly storages: ReadonlyMap<string, Place>;
}

const maxPickle = 256 << 20;

async function openZip(path: string, files: Files): Promise<Opened> {
  const entries = await locateZipEntries(path, files);
  const pickle = [...entries.values()].find((entry) => entry.name.endsWith("/data.pkl"));
  if (pickle === undefined) throw refusedPickle(path, "the archive holds no data.pkl");
  if (pickle.bytes > maxPickle) throw refusedPickle(path, `its data.pkl takes ${pickle.bytes} bytes`);
  const folder = pickle.name.slice(0, -"data.pkl".length);
  const order = entries.get(`${folder}byteorder`);
  if (order !== undefined && order.bytes < 16) {
    const text = new TextDecoder().decode(await files.read(path, order.offset, order.bytes));
    if (text !== "little") throw refusedPickle(path, `its numbers are ${text}-endian`);
  }
  const bytes = await files.read(path, pickle.offset, pickle.bytes);
  const root = ending(path, () => readPickle(bytes, 0, path, tensorReader(path)).value);
  const storages = new Map<string, Place>();
  for (const [name, entry] of entries) {
    if (name.startsWith(`${folder}data/`)) storages.set(name.slice(folder.length + "data/".length), entry);
  }
  return { root, storages };
}

const legacyMagic = 0x1950a86a20f9469cfc6cn;

/** Legacy form: four pickles (magic, protocol, system, object), a pickled list of keys, then each storage. */
async function openLegacy(path: string, size: number, files: Files): Promise<Opened> {
  for (let window = 1 << 20; ; window *= 4) {
    const bytes = await files.read(path, 0, Math.min(window, size));
    try {
      const { root, used, keys, end } = readLegacy(bytes, path);
      return { root, storages: await walkStorages(path, used, keys, end, size, files) };
    } catch (error) {
      if (!(error instanceof PickleEnd)) throw error;
      if (window >= size || window >= maxPickle) throw refusedPickle(path, "it ends inside its pickle");
    }
  }
}

interface Legacy {
  readonly root: Value;
  readonly used: ReadonlyMap<string, Storage>;
  readonly keys: string[];
  readonly end: number;
}

function readLegacy(bytes: Uint8Array, path: string): Legacy {
  const used = new Map<string, Storage>();
  const reader = tensorReader(path, used);
  if (bytes[0] !== 0x80) throw refusedPickle(path, "it is neither a zip archive nor a pickle of torch.save");
  const magic = readPickle(bytes, 0, path, reader);
  if (magic.value !== legacyMagic) throw refusedPickle(path, "it is a pickle, but not one of torch.save");
  const version = readPickle(bytes, magic.end, path, reader);
  const system = readPickle(bytes, version.end, path, reader);
  if (system.value instanceof Map && system.value.get("little_endian") === false) {
    throw refusedPickle(path, "its numbers are big-endian");
  }
  const object = readPickle(bytes, system.end, path, reader);
  const keys = readPickle(bytes, object.end, path, reader);
  const names = keys.value;
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
    throw refusedPickle(path, "its list of storages is damaged");
  }
  return { root: object.value, used, keys: names, end: keys.end };
}

async function walkStorages(
  path: string,
  used: ReadonlyMap<string, Storage>,
  keys: string[],
  start: number,
  size: number,
  files: Files,
): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  let at = start;
  for (const key of keys) {
    const storage = used.get(key);
    if (storage === undefined) throw refusedPickle(path, `its storage ${key} belongs to no tensor`);
    if (at + 8 > size) throw refusedPickle(path, "it ends before its last storage: it was cut short");
    const count = await files.read(path, at, 8);
    const length = Number(new DataView(count.buffer, count.byteOffset, 8).getBigInt64(0, true));
    const bytes = length * bytesPer[storage.dtype];
    if (length < 0 || at + 8 + bytes > size)
      throw refusedPickle(path, `its storage ${key} reaches past the file`);
    places.set(key, { offset: at + 8, bytes });
    at += 8 + bytes;
  }
  return places;
}

function ending<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof PickleEnd) throw refusedPickle(path, "it ends inside its pickle");
    throw error;
  }
}

/** Knows storages, tensors, parameters and dictionaries; every other name is refused. */
function tensorReader(path: string, used: Map<string, Storage> = new Map()): PickleReader<Made> {
  return {
    call: (name, args) => {
      switch (name) {
        case "collections.OrderedDict":
          if (args.length === 0) return new Map();
          break;
        case "torch.Size":
          if (Array.isArray(args[0])) return args[0];
          break;
        case "torch._utils._rebuild_tensor_v2":
        case "torch._utils._rebuild_tensor":
          return { made: { view: viewOf(args, path) } };
        case "torch._utils._rebuild_parameter":
          if (isMade(args[0]) && "view" in args[0].made) return args[0];
          break;
      }
      throw refusedPickle(path, `it wants to call "${name}", and only tensors are read here`);
    },
    persistent: (id) => {
      const storage = storageOf(id, path);
      used.set(storage.key, storage);
      return { made: { storage } };
    },
  };
}

/**
 * ("storage", type, key, device, elements) and, in legacy form, a view of it: (key, start, elements)
 * or none.
 */
function storageOf(id: Value, path: string): Storage {
  const [kind, type, key, , length, part] = Array.isArray(id) ? id : [];
  const name = typeof type === "object" && type !== null && "global" in type ? type.global : "";
  const dtype = /^torch(\.cuda)?\.(\w+)$/.exec(name)?.[2];
  if (kind !== "storage" || dtype === undefined || (typeof key !== "string" && typeof key !== "number")) {
    throw refusedPickle(path, "it refers to an object that is no storage of numbers");
  }
  const known = Object.hasOwn(storageTypes, dtype) ? storageTypes[dtype] : undefined;
  if (known === undefined) throw refusedPickle(path, `its storages of kind ${name} are not read here`);
  const storage = { key: String(key), dtype: known, length: whole(length, path), start: 0 };
  if (part === undefined || part === null) return storage;
  const [, start, count] = Array.isArray(part) ? part : [];
  const view = { ...storage, start: whole(start, path), length: whole(count, path) };
  if (view.start + view.length > storage.length)
    throw refusedPickle(path, "a part of a storage reaches past it");
  return view;
}

function viewOf(args: Value[], path: string): View {
  const [base, start, shape, strides] = args;
  if (!isMade(base) || !("storage" in base.made) || !Array.isArray(shape) || !Array.isArray(strides)) {
    throw refusedPickle(path, "it builds a tensor from something that is no storage");
  }
  const view = {
    storage: base.made.storage,
    start: whole(start, path),
    shape: shape.map((dim) => whole(dim, path)),
    strides: strides.map((stride) => whole(stride, path)),
  };
  if (view.shape.length > MAX_AXES) throw refusedPickle(path, `a tensor in it has ${view.shape.length} axes`);
  if (view.shape.length !== view.strides.length)
    throw refusedPickle(path, "a tensor's strides do not fit its shape");
  return view;
}

const MAX_AXES = 64;

const isMade = (value: Value | undefined): value is { readonly made: Made } =>
  typeof value === "object" && value !== null && "made" in value;

function whole(value: Value | undefined, path: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw refusedPickle(path, `a size or offset in it is ${describe(value)}`);
}

/** The state dictionary: names to tensors. Plain values beside them (a step count) are left aside. */
function tensorsOf(root: Value, path: string): [string, View][] {
  const found: [string, View][] = [];
  if (!(root instanceof Map))
    throw refusedPickle(path, "it holds something else than a dictionary of tensors");
  for (const [name, value] of root) {
    if (isMade(value) && "view" in value.made && typeof name === "string")
      found.push([name, value.made.view]);
  }
  if (found.length === 0 && root.size > 0) {
    const names = [...root.keys()].slice(0, 5).map(describe).join(", ");
    throw refusedPickle(path, `its dictionary (${names}) holds no tensor at its top`);
  }
  return found;
}

async function placeTensor(
  name: string,
  view: View,
  place: Place,
  path: string,
  files: Files,
): Promise<StoredTensor> {
  const { storage, shape, strides } = view;
  const size = bytesPer[storage.dtype];
  const count = elements(shape);
  const last = shape.reduce((sum, dim, i) => sum + (dim - 1) * strides[i]!, view.start);
  const room = Math.min(storage.length, Math.floor(place.bytes / size) - storage.start);
  if (count > 0 && last >= room) {
    throw refusedPickle(
      path,
      `"${name}" reaches to element ${last} of a storage that has ${Math.max(room, 0)}`,
    );
  }
  if (count > room) throw refusedPickle(path, `"${name}" repeats the elements of its storage`);
  const bytes = count * size;
  const offset = place.offset + (storage.start + view.start) * size;
  const tensor = { name, dtype: storage.dtype, shape, path, offset, bytes };
  if (count === 0 || isRowMajor(shape, strides)) return tensor;
  const raw = await files.read(path, offset, (last - view.start + 1) * size);
  return { ...tensor, data: gather(raw, shape, strides, size) };
}

function isRowMajor(shape: number[], strides: number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/** Copies a strided tensor (a transposed one, say) into row-major order. */
function gather(raw: Uint8Array, shape: number[], strides: number[], size: number): Uint8Array {
  const out = new Uint8Array(elements(shape) * size);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to += size) {
    for (let byte = 0; byte < size; byte++) out[to + byte] = raw[from * size + byte]!;
    for (let i = shape.length - 1; i >= 0; i--) {
      from += strides[i]!;
      if (++index[i]! < shape[i]!) break;
      from -= strides[i]! * shape[i]!;
      index[i] = 0;
    }
  }
  return out;
}
