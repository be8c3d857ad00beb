import type { PackOptions, PartData, PartElement, PartType } from "../engine/formats/format.js";
import { bytesOf, elements, partsOf as typesOfParts } from "../engine/formats/format.js";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import { pack } from "../engine/formats/stack.js";
import type { FilePlace, WeightSource } from "../engine/messages.js";
import { internal, PeftError } from "../errors.js";
import { isHalf, roundToHalves } from "../halves.js";
import { nodeFiles } from "../hub/files.js";
import type { TensorToWrite } from "../hub/tensors/safetensors.js";
import { openSafetensors, writeSafetensors } from "../hub/tensors/safetensors.js";
import { toCode, words } from "../words.js";

/** What happens while weights are brought to another format, which is done once. */
export interface QuantizeEvent {
  readonly kind: "start" | "progress" | "done" | "rebuilt" | "waiting";
  /** Bytes written of all. */
  readonly done: number;
  /** Bytes of all. */
  readonly total: number;
  /** The weight, the file, or why a cache is rebuilt. */
  readonly message: string;
}

export interface QuantizeOptions extends PackOptions {
  /** Where caches lie. */
  readonly folder: string;
  readonly progress?: ((event: QuantizeEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Free bytes on the disk that holds a folder. Default: what the system says. */
  readonly free?: ((folder: string) => Promise<number>) | undefined;
}

/** A cache file and what it should hold. */
export interface QuantizedCache {
  readonly file: string;
  /** Stands in the file as well: of the checkpoint, the format and the layout. */
  readonly key: string;
  /** The weights as they will be, their parts yet to be found. */
  readonly weights: ReadonlyMap<string, WeightSource>;
}

/** Makes the parts of a weight as it will be. */
export type PartsOf = (name: string, target: WeightSource) => Promise<Readonly<Record<string, PartData>>>;

/** Left free on the disk beside a new cache. */
const SPARE = 64 << 20;

/**
 * A temporary file that nobody wrote to for a day is nobody's: on a shared disk, or where process ids come
 * again.
 */
const DAY = 24 * 3600 * 1000;

const STORED: Readonly<Record<PartElement, TensorToWrite["dtype"]>> = {
  f32: "f32",
  f16: "f16",
  bf16: "bf16",
  i8: "i8",
  u8: "u8",
};

const tensorName = (weight: string, part: string): string => `${weight}:${part}`;

function typesOf({ format, shape, transposed }: WeightSource): [string, PartType][] {
  return Object.entries(typesOfParts(formats[format], shape, transposed));
}

/** What a cache file gives; undefined: there is none, or none that is whole, which is said. */
export async function openCache(
  cache: QuantizedCache,
  progress?: QuantizeOptions["progress"],
): Promise<Map<string, WeightSource> | undefined> {
  if (!(await nodeFiles.exists(cache.file))) return undefined;
  try {
    return await readCache(cache);
  } catch (error) {
    const why = error instanceof PeftError ? error.why : String(error);
    progress?.({ kind: "rebuilt", done: 0, total: 0, message: `"${cache.file}" is made anew: ${why}` });
    return undefined;
  }
}

async function readCache(cache: QuantizedCache): Promise<Map<string, WeightSource>> {
  const { tensors, metadata } = await openSafetensors(cache.file);
  if (metadata["key"] !== cache.key) throw damaged(cache.file, "it is of another version.");
  const found = new Map<string, WeightSource>();
  for (const [name, weight] of cache.weights) {
    const parts: Record<string, FilePlace> = {};
    for (const [part, { element, shape }] of typesOf(weight)) {
      const tensor = tensors.get(tensorName(name, part));
      if (tensor === undefined) throw damaged(cache.file, `it lacks ${name}.`);
      if (tensor.dtype !== STORED[element] || `${tensor.shape}` !== `${shape}`)
        throw damaged(cache.file, `${name} is not as it should be.`);
      parts[part] = { path: cache.file, offset: tensor.offset };
    }
    found.set(name, { ...weight, parts });
  }
  return found;
}

/**
 * Makes a cache file beside its name, and renames it if the checkpoint stayed the same and nobody else made
 * one meanwhile.
 */
export async function writeCache(
  cache: QuantizedCache,
  partsOf: PartsOf,
  isUnchanged: () => Promise<boolean>,
  options: QuantizeOptions,
): Promise<void> {
  const { file, key, weights } = cache;
  const sizes = [...weights.values()].map((w) => bytesOf(formats[w.format], w.shape, w.transposed));
  const total = sizes.reduce((a, b) => a + b, 0);
  await checkRoom(total, options);
  options.progress?.({ kind: "start", done: 0, total, message: file });
  const temporary = `${file}.${nodeFiles.owner()}.${crypto.randomUUID().slice(0, 8)}`;
  const tensors = tensorsToWrite(cache, partsOf, total, options);
  try {
    await writeSafetensors(temporary, tensors, { format: "pt", key }, nodeFiles, true);
    if (!(await isUnchanged())) throw changedMeanwhile();
    // a process that maps the file watches it: one as good as ours is left alone
    if ((await openCache(cache)) === undefined) await nodeFiles.rename(temporary, file);
  } finally {
    await nodeFiles.remove(temporary);
  }
  options.progress?.({ kind: "done", done: total, total, message: file });
}

/** Each weight is read and packed when its first part is written, and gone after its last. */
function tensorsToWrite(
  cache: QuantizedCache,
  partsOf: PartsOf,
  total: number,
  options: QuantizeOptions,
): Map<string, TensorToWrite> {
  const tensors = new Map<string, TensorToWrite>();
  let done = 0;
  for (const [name, weight] of cache.weights) {
    const types = typesOf(weight);
    let packed: Readonly<Record<string, PartData>> | undefined;
    const bytesOfPart = async (part: string, isLast: boolean): Promise<Uint8Array> => {
      checkAborted(options.signal);
      packed ??= await partsOf(name, weight);
      const data = packed[part] ?? internal(`no part "${part}" of ${name}`);
      if (isLast) packed = undefined;
      done += data.byteLength;
      options.progress?.({ kind: "progress", done, total, message: name });
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    };
    for (const [i, [part, type]] of types.entries())
      tensors.set(tensorName(name, part), {
        dtype: STORED[type.element],
        shape: type.shape,
        data: () => bytesOfPart(part, i === types.length - 1),
      });
  }
  return tensors;
}

/**
 * A weight's parts in a format. Throws "checkpoint" where there are not as many numbers as its shape says.
 */
export function packWeight(
  data: Float32Array,
  shape: readonly number[],
  transposed: boolean,
  format: FormatName,
  options: PackOptions,
): Readonly<Record<string, PartData>> {
  if (data.length !== elements(shape)) throw changedMeanwhile();
  return (
    pack(formats[format], data, shape, transposed, options) ?? {
      data: isHalf(format) ? roundToHalves(data, format) : data,
    }
  );
}

/** Removes what killed processes left: temporary files bear their names. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await nodeFiles.list(folder)) {
    const owner = /\.safetensors\.([^.]+_[\d-]+)/.exec(name)?.[1];
    if (owner === undefined) continue;
    const path = nodeFiles.join(folder, name);
    try {
      const isOld = Date.now() - (await nodeFiles.changed(path)) > DAY;
      if (isOld || !nodeFiles.alive(owner)) await nodeFiles.remove(path);
    } catch {} // its owner was faster, or the folder may only be read
  }
}

/** Bytes of all that lies in the folder: grows while somebody writes there. */
export async function cacheBytes(folder: string): Promise<number> {
  const paths = (await nodeFiles.list(folder)).map((name) => nodeFiles.join(folder, name));
  const sizes = await Promise.all(paths.map((path) => nodeFiles.size(path).catch(() => 0)));
  return sizes.reduce((a, b) => a + b, 0);
}

export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new PeftError("aborted", {
    what: "Quantizing was stopped.",
    why: "its signal was aborted.",
    fix: "the same call starts it anew.",
  });
}

async function checkRoom(bytes: number, { folder, free = nodeFiles.free }: QuantizeOptions): Promise<void> {
  const left = await free(folder);
  if (left >= bytes + SPARE) return;
  throw new PeftError("output", {
    what: `There is no room for the quantized weights in "${folder}".`,
    why: `${bytes + SPARE} bytes are needed (${bytes} for the weights, the rest stays free), and ${left} are free.`,
    fix: words`make room, or name another folder: ${toCode("quantizedCache, or ")}PEFT_QUANTIZED_CACHE.`,
  });
}

function damaged(file: string, why: string): PeftError {
  return new PeftError("output", {
    what: `The quantized weights in "${file}" cannot be read.`,
    why,
    fix: "remove the file.",
  });
}

export function unreadable(file: string): PeftError {
  return new PeftError("output", {
    what: `The quantized weights in "${file}" cannot be read.`,
    why: "the file was written just now and is not whole.",
    fix: "check the disk.",
  });
}

function changedMeanwhile(): PeftError {
  return new PeftError("checkpoint", {
    what: "The model's files changed while its weights were quantized.",
    why: "a cache of them would be of no one model.",
    fix: "leave the model's files as they are while they are in use, and run the same again.",
  });
}
