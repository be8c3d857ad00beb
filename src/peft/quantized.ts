import type { PackOptions, PartData, PartElement } from "../engine/formats/format.js";
import { bytesOf, elements } from "../engine/formats/format.js";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import type { WeightSource } from "../engine/messages.js";
import { PeftError } from "../errors.js";
import { fromF32 } from "../hub/dtypes.js";
import { nodeFiles } from "../hub/files.js";
import type { TensorToWrite } from "../hub/safetensors.js";
import { openSafetensors, writeSafetensors } from "../hub/safetensors.js";
import type { BoundWeights } from "./weights.js";

export interface QuantizeEvent {
  readonly kind: "start" | "progress" | "done" | "rebuilt";
  /** Bytes written of all; or why a cache is made anew. */
  readonly done: number;
  readonly total: number;
  readonly message: string;
}

export interface QuantizeOptions extends PackOptions {
  /** Where caches lie. */
  readonly folder: string;
  readonly progress?: ((event: QuantizeEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of what a cache file holds and how; another number makes all of them anew. */
const VERSION = "2";

/** Left free on the disk beside a new cache. */
const SPARE = 64 << 20;

type Weights = Pick<BoundWeights, "inventory" | "sources" | "readF32">;

/**
 * A model's weights in another format, made once: one weight after another goes from the checkpoint into a cache file, whose name tells
 * the checkpoint's files, their sizes and times. 8 and 4 bits are for the linear layers of blocks; f16 and bf16 for every matrix.
 * Throws "output" where the disk has no room, "aborted".
 */
export async function quantizedSources(
  weights: Weights,
  format: FormatName,
  options: QuantizeOptions,
): Promise<ReadonlyMap<string, WeightSource>> {
  const changed = chosen(weights, format);
  if (changed.size === 0) return weights.sources;
  const key = await keyOf(weights, changed, format, options);
  const file = nodeFiles.join(options.folder, `${format}-${key.slice(0, 24)}.safetensors`);
  await nodeFiles.makeFolder(options.folder);
  await removeLeftovers(options.folder);
  const known = await openCache(file, key, changed, format, options);
  if (known === undefined) await writeCache(file, key, weights, changed, format, options);
  const made = known ?? (await openCache(file, key, changed, format, options));
  if (made === undefined) throw new PeftError("output", unreadableCache(file));
  return new Map([...weights.sources, ...made]);
}

/** The weights that change their format, as they will be. */
function chosen({ inventory, sources }: Weights, format: FormatName): Map<string, WeightSource> {
  const found = new Map<string, WeightSource>();
  const { pack, fits } = formats[format];
  const embeddings = new Set([...inventory.embeddings.values()].map((e) => e.weight));
  const directions = new Map([...inventory.linears.values()].map((l) => [l.weight, l.transposed]));
  const inBlock = (name: string): boolean => inventory.blocks.some((block) => name.startsWith(`${block}.`));
  for (const [name, { shape, format: stored }] of sources) {
    const transposed = directions.get(name) ?? false;
    const isQuantized = pack !== undefined && directions.has(name) && !embeddings.has(name) && inBlock(name);
    const isHalved = pack === undefined && shape.length === 2 && stored !== format;
    if ((isQuantized && (fits?.(shape, transposed) ?? true)) || isHalved)
      found.set(name, { format, shape, transposed, parts: {} });
  }
  return found;
}

/** Tells a cache from that of any other checkpoint, format or layout. */
async function keyOf(
  { sources }: Weights,
  changed: ReadonlyMap<string, WeightSource>,
  format: FormatName,
  { largest }: PackOptions,
): Promise<string> {
  const files = new Map<string, readonly number[]>();
  const places: unknown[] = [];
  for (const name of changed.keys()) {
    const source = sources.get(name)!;
    const part = source.parts["data"]!;
    places.push([name, source.format, source.shape, changed.get(name)!.transposed]);
    if (!("offset" in part)) places.push(await sha256(new Uint8Array(part.buffer as ArrayBuffer)));
    else {
      places.push(part);
      if (!files.has(part.path))
        files.set(part.path, [await nodeFiles.size(part.path), await nodeFiles.changed(part.path)]);
    }
  }
  const known = [VERSION, format, format === "int8" ? largest : 0, [...files], places];
  return sha256(new TextEncoder().encode(JSON.stringify(known)));
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(hash)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

const tensorName = (weight: string, part: string): string => `${weight}:${part}`;

/** What a cache file gives; undefined: there is none, or none that is whole, which is said. */
async function openCache(
  file: string,
  key: string,
  changed: ReadonlyMap<string, WeightSource>,
  format: FormatName,
  { progress }: QuantizeOptions,
): Promise<Map<string, WeightSource> | undefined> {
  if (!(await nodeFiles.exists(file))) return undefined;
  const fault = (message: string): undefined => {
    progress?.({ kind: "rebuilt", done: 0, total: 0, message: `"${file}" is made anew: ${message}` });
    return undefined;
  };
  try {
    const { tensors, metadata } = await openSafetensors(file);
    if (metadata["key"] !== key) return fault("it is of another version.");
    const found = new Map<string, WeightSource>();
    for (const [name, source] of changed) {
      const parts: Record<string, { path: string; offset: number }> = {};
      for (const part of Object.keys(formats[format].parts(source.shape, source.transposed))) {
        const tensor = tensors.get(tensorName(name, part));
        if (tensor === undefined) return fault(`it lacks ${name}.`);
        parts[part] = { path: file, offset: tensor.offset };
      }
      found.set(name, { ...source, parts });
    }
    return found;
  } catch (error) {
    return fault(error instanceof PeftError ? error.why : String(error));
  }
}

async function writeCache(
  file: string,
  key: string,
  weights: Weights,
  changed: ReadonlyMap<string, WeightSource>,
  format: FormatName,
  options: QuantizeOptions,
): Promise<void> {
  const sizes = [...changed.values()].map((w) => bytesOf(formats[format], w.shape, w.transposed));
  const total = sizes.reduce((a, b) => a + b, 0);
  await checkRoom(options.folder, total);
  const { progress, signal } = options;
  progress?.({ kind: "start", done: 0, total, message: file });
  let done = 0;
  const tensors = new Map<string, TensorToWrite>();
  for (const [name, { shape, transposed }] of changed) {
    const types = Object.entries(formats[format].parts(shape, transposed));
    let packed: Readonly<Record<string, PartData>> | undefined;
    for (const [i, [part, type]] of types.entries())
      tensors.set(tensorName(name, part), {
        dtype: STORED[type.element],
        shape: type.shape,
        data: async () => {
          if (signal?.aborted) throw aborted();
          packed ??= packWeight(await weights.readF32(name), shape, transposed, format, options);
          const data = packed[part]!;
          if (i === types.length - 1) packed = undefined;
          done += data.byteLength;
          progress?.({ kind: "progress", done, total, message: name });
          return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
        },
      });
  }
  const temporary = `${file}.${nodeFiles.owner()}`;
  await writeSafetensors(temporary, tensors, { format: "pt", key }, nodeFiles, true);
  await nodeFiles.rename(temporary, file);
  progress?.({ kind: "done", done: total, total, message: file });
}

const STORED: Readonly<Record<PartElement, TensorToWrite["dtype"]>> = {
  f32: "f32",
  f16: "f16",
  bf16: "bf16",
  i8: "i8",
  u8: "u8",
};

function packWeight(
  data: Float32Array,
  shape: readonly number[],
  transposed: boolean,
  format: FormatName,
  options: PackOptions,
): Readonly<Record<string, PartData>> {
  if (data.length !== elements(shape)) throw new PeftError("checkpoint", changedMeanwhile());
  const { pack } = formats[format];
  return pack?.(data, shape, transposed, options) ?? { data: fromF32(data, format as "f16") };
}

/** What a killed process left: its temporary files bear its name. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await nodeFiles.list(folder)) {
    const owner = /\.safetensors\.([^.]+_\d+)/.exec(name)?.[1];
    if (owner !== undefined && !nodeFiles.alive(owner)) await nodeFiles.remove(nodeFiles.join(folder, name));
  }
}

async function checkRoom(folder: string, bytes: number): Promise<void> {
  const free = await nodeFiles.free(folder);
  if (free >= bytes + SPARE) return;
  throw new PeftError("output", {
    what: `There is no room for the quantized weights in "${folder}".`,
    why: `they take ${bytes} bytes, and ${free} are free.`,
    fix: "make room, or name another folder: quantizedCache, or PEFT_QUANTIZED_CACHE.",
  });
}

function aborted(): PeftError {
  return new PeftError("aborted", {
    what: "Quantizing was stopped.",
    why: "its signal was aborted.",
    fix: "the same call starts it anew.",
  });
}

function unreadableCache(file: string): ConstructorParameters<typeof PeftError>[1] {
  return {
    what: `The quantized weights in "${file}" cannot be read.`,
    why: "the file was written just now and is not whole.",
    fix: "check the disk.",
  };
}

function changedMeanwhile(): ConstructorParameters<typeof PeftError>[1] {
  return {
    what: "A weight is not as large as its shape says.",
    why: "the checkpoint was changed while it was read.",
    fix: "leave the model's files as they are while they are in use.",
  };
}
