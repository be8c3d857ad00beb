import { PeftError } from "../errors.js";
import { isRecord } from "../narrow.js";
import { at, entry } from "../present.js";
import { asPeft, LIBRARY_FILES } from "./adapters_library.js";
import type { Files } from "./files.js";
import { nodeFiles } from "./files.js";
import { readJsonObject } from "./json.js";
import type { Archive, StoredTensor } from "./tensors/archive.js";
import { toF32 } from "./tensors/dtypes.js";
import { openSafetensors } from "./tensors/safetensors.js";
import { openTorchBin } from "./tensors/torch_bin.js";

export type { StoredTensor } from "./tensors/archive.js";

/** The weights of a folder, whatever files they are spread over. */
export interface Checkpoint {
  /** The file that holds them, or the index of several. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Record<string, string>;
  /** The tensor's bytes as they are stored, row-major. Throws checkpoint for an unknown name. */
  read(name: string): Promise<Uint8Array>;
  /** The tensor's numbers as f32, whatever they are stored as. */
  readF32(name: string): Promise<Float32Array>;
}

/** Opens a model folder: safetensors first, then pickled .bin, each in one file or in shards. */
export async function openCheckpoint(folder: string, files: Files = nodeFiles): Promise<Checkpoint> {
  for (const name of ["model.safetensors", "pytorch_model.bin"]) {
    const path = files.join(folder, name);
    if (await files.exists(path)) return checkpoint(path, await openArchive(path, files), files);
    const index = `${path}.index.json`;
    if (await files.exists(index)) return checkpoint(index, await openShards(folder, index, files), files);
  }
  throw await noWeights(folder, "model.safetensors or pytorch_model.bin", files);
}

/** Opens the weights of an adapter folder. */
export async function openAdapterWeights(folder: string, files: Files = nodeFiles): Promise<Checkpoint> {
  for (const name of ["adapter_model.safetensors", "adapter_model.bin"]) {
    const path = files.join(folder, name);
    if (await files.exists(path)) return checkpoint(path, await openArchive(path, files), files);
  }
  const library = await openLibraryAdapter(folder, files);
  if (library !== undefined) return library;
  throw await noWeights(folder, "adapter_model.safetensors or adapter_model.bin", files);
}

/**
 * An adapter that the library "adapters" saved, with its head, where there is one; undefined: there is none.
 */
async function openLibraryAdapter(folder: string, files: Files): Promise<Checkpoint | undefined> {
  const paths: string[] = [];
  for (const names of [LIBRARY_FILES.adapter, LIBRARY_FILES.head])
    for (const path of names.map((name) => files.join(folder, name)))
      if (await files.exists(path)) {
        paths.push(path);
        break;
      }
  const [path] = paths;
  if (path === undefined || !LIBRARY_FILES.adapter.some((name) => path.endsWith(name))) return undefined;
  const archives = await Promise.all(paths.map((path) => openArchive(path, files)));
  return checkpoint(path, asPeft(path, archives), files);
}

/** Whether `openCheckpoint` or `openAdapterWeights` would find something here. */
export async function hasWeights(folder: string, files: Files = nodeFiles): Promise<boolean> {
  return (await files.list(folder)).some(isWeightFile);
}

const isWeightFile = (name: string): boolean =>
  /^((model|adapter_model)\.safetensors|(pytorch_model|adapter_model)\.bin)(\.index\.json)?$/.test(name) ||
  LIBRARY_FILES.adapter.some((file) => file === name);

/** One file of tensors by its path. */
export async function openTensors(path: string, files: Files = nodeFiles): Promise<Checkpoint> {
  return checkpoint(path, await openArchive(path, files), files);
}

/** Opens one file by what its name ends in. */
export function openArchive(path: string, files: Files = nodeFiles): Promise<Archive> {
  return path.endsWith(".safetensors") ? openSafetensors(path, files) : openTorchBin(path, files);
}

/** The weight_map of an index file: tensor name to file name, checked to stay inside the folder. */
export async function readWeightMap(index: string, files: Files = nodeFiles): Promise<Map<string, string>> {
  const map = (await readJsonObject(index, files))["weight_map"];
  const entries = isRecord(map) ? Object.entries(map) : [];
  const isNamed = (pair: [string, unknown]): pair is [string, string] =>
    typeof pair[1] === "string" && /^[^/\\]+\.(safetensors|bin)$/.test(pair[1]);
  const bad = entries.filter((pair) => !isNamed(pair));
  if (entries.length > 0 && entries.every(isNamed)) return new Map(entries);
  throw new PeftError("file-format", {
    what: `"${index}" does not say which file holds which tensor.`,
    why:
      bad.length > 0
        ? `its weight_map sends ${JSON.stringify(at(bad, 0)[0])} to ${JSON.stringify(at(bad, 0)[1])}.`
        : "it has no weight_map.",
    fix: "download the file again.",
  });
}

async function openShards(folder: string, index: string, files: Files): Promise<Archive> {
  const map = await readWeightMap(index, files);
  const names = [...new Set(map.values())].sort();
  const present = new Set(await files.list(folder));
  const absent = names.filter((name) => !present.has(name));
  if (absent.length > 0) throw missingShards(index, absent, names.length);
  const archives = await Promise.all(names.map((name) => openArchive(files.join(folder, name), files)));
  const tensors = new Map<string, StoredTensor>();
  archives.forEach((archive, i) => {
    for (const [name, tensor] of archive.tensors) {
      if ((map.get(name) ?? names[i]) === names[i]) tensors.set(name, tensor);
    }
  });
  const lost = [...map].filter(([name]) => !tensors.has(name));
  if (lost.length > 0) throw lostTensors(index, lost);
  return { tensors, metadata: archives[0]?.metadata ?? {} };
}

function missingShards(index: string, absent: string[], count: number): PeftError {
  return new PeftError("checkpoint", {
    what: `${absent.length} of ${count} weight files are missing: ${absent.slice(0, 5).join(", ")}.`,
    why: `"${index}" names them and they are not beside it.`,
    fix: "download them into the same folder.",
  });
}

function lostTensors(index: string, lost: [string, string][]): PeftError {
  const shown = lost.slice(0, 5).map(([name, file]) => `${name} (${file})`);
  return new PeftError("checkpoint", {
    what: `${lost.length} tensors are not where "${index}" says: ${shown.join(", ")}.`,
    why: "the weight files and the index are not of the same version.",
    fix: "download the folder again.",
  });
}

async function noWeights(folder: string, wanted: string, files: Files): Promise<PeftError> {
  const names = await files.list(folder);
  const other = names.filter((name) => /\.(h5|msgpack|gguf|onnx|pth|pt|ckpt|safetensors|bin)$/.test(name));
  const there = names.length === 0 ? "the folder is empty or absent" : `the folder holds ${list(names)}`;
  return new PeftError("checkpoint", {
    what: `"${folder}" has no weights.`,
    why: `${wanted} (or their .index.json) is looked for, and ${there}.`,
    fix:
      other.length > 0
        ? `${list(other)} cannot be read: save it with transformers' save_pretrained, or rename it.`
        : "give a folder with weights, or the model's Hub id.",
  });
}

const list = (names: string[]): string => names.slice(0, 8).join(", ") + (names.length > 8 ? ", ..." : "");

function checkpoint(path: string, archive: Archive, files: Files): Checkpoint {
  const { tensors, metadata } = archive;
  const read = async (name: string): Promise<Uint8Array> => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw unknownTensor(name, path, [...tensors.keys()]);
    return tensor.data ?? files.read(tensor.path, tensor.offset, tensor.bytes);
  };
  const readF32 = async (name: string): Promise<Float32Array> => {
    const bytes = await read(name);
    return toF32(bytes, entry(tensors, name).dtype, name);
  };
  return { path, tensors, metadata, read, readF32 };
}

function unknownTensor(name: string, path: string, names: string[]): PeftError {
  const ending = name.split(".").slice(-2).join(".");
  const near = names.filter((other) => other.endsWith(ending));
  return new PeftError("checkpoint", {
    what: `"${path}" has no tensor "${name}".`,
    why: `it holds ${names.length} tensors, such as ${list(near.length > 0 ? near : names)}.`,
    fix: "check that config.json and the weights belong to the same model.",
  });
}
