import { elements } from "../engine/formats/format.js";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import { fits } from "../engine/formats/stack.js";
import type { WeightSource } from "../engine/messages.js";
import { filesOf, isInFiles, resolved } from "../engine/weights/files.js";
import { nodeFiles } from "../hub/files.js";
import { alone } from "../hub/lock.js";
import { entry } from "../present.js";
import { random, uniform } from "../random.js";
import type { Exact } from "./packed/packing.js";
import { HEAD_FORMAT, quantizable } from "./quantizable.js";
import type { PartsOf, QuantizeOptions } from "./quantized_cache.js";
import {
  cacheBytes,
  checkAborted,
  openCache,
  packWeight,
  removeLeftovers,
  unreadable,
  writeCache,
} from "./quantized_cache.js";
import type { BoundWeights } from "./weights.js";

export type { QuantizeEvent, QuantizeOptions } from "./quantized_cache.js";

/**
 * Of how a cache is laid out; another number makes all of them anew. What formats make of numbers is in the
 * key by itself.
 */
const VERSION = "4";

export type QuantizableWeights = Pick<BoundWeights, "inventory" | "sources" | "readF32" | "fresh" | "packed">;

/**
 * A model's weights in another format, made once: one weight after another goes from the checkpoint into a
 * cache file, whose name tells the checkpoint's files, their sizes and times. 8 and 4 bits are for the linear
 * layers of blocks, and 8 for the head; f16 and bf16 for every matrix. Where two processes want the same
 * cache, one makes it and the other waits. Throws "output" where the disk has no room, "checkpoint" where the
 * model's files change meanwhile, "aborted".
 */
export async function quantizedSources(
  weights: QuantizableWeights,
  format: FormatName | undefined,
  options: QuantizeOptions,
): Promise<ReadonlyMap<string, WeightSource>> {
  const changed = chosen(weights, format);
  if (changed.size === 0) return weights.sources;
  const origins = [...changed].map(
    ([name, { from }]) => [name, resolved(entry(weights.sources, from))] as const,
  );
  const state = await stateOf(origins);
  const targets = new Map([...changed].map(([name, { target }]) => [name, target]));
  const key = await keyOf(origins, targets, options, state);
  const file = nodeFiles.join(options.folder, `${format ?? "unpacked"}-${key.slice(0, 24)}.safetensors`);
  const cache = { file, key, weights: targets };
  const partsOf: PartsOf = async (name, { format, shape, transposed }) => {
    const { from } = entry(changed, name);
    return (
      exact(weights, from, format, options)?.parts() ??
      packWeight(await weights.readF32(from), shape, transposed, format, options)
    );
  };
  const isUnchanged = async (): Promise<boolean> => (await stateOf(origins)) === state;
  await removeLeftovers(options.folder);
  let made = await openCache(cache);
  if (made === undefined) {
    await nodeFiles.makeFolder(options.folder);
    await alone(`${file}.lock`, nodeFiles, {
      wait: waiting(file, options),
      progress: () => cacheBytes(options.folder),
      action: async () => {
        made = await openCache(cache, options.progress);
        if (made === undefined) await writeCache(cache, partsOf, isUnchanged, options);
      },
    });
    made ??= await openCache(cache);
  }
  if (made === undefined) throw unreadable(file);
  return new Map([...weights.sources, ...made]);
}

/** A weight as it will be, and what it is made of. */
interface Change {
  readonly target: WeightSource;
  readonly from: string;
}

/**
 * The weights that change their format, and those that the checkpoint has packed. A head that is made new
 * stays: it is trained, and no two runs have the same.
 */
function chosen(weights: QuantizableWeights, format: FormatName | undefined): Map<string, Change> {
  const found = format === undefined ? new Map<string, Change>() : inFormat(weights, format);
  for (const [name, { exact }] of weights.packed) {
    const { shape, transposed } = entry(weights.sources, name);
    const held = exact?.format === "nf4" && format === undefined ? "nf4" : "f32";
    if (!found.has(name))
      found.set(name, { target: { format: held, shape, transposed, parts: {} }, from: name });
  }
  return found;
}

function inFormat(weights: QuantizableWeights, format: FormatName): Map<string, Change> {
  return formats[format].pack === undefined ? halved(weights, format) : quantized(weights, format);
}

/** The parts that the checkpoint has already, where they are the format's own: nothing is quantized twice. */
function exact(
  { packed }: QuantizableWeights,
  name: string,
  format: FormatName,
  { largest }: QuantizeOptions,
): Exact | undefined {
  const found = packed.get(name)?.exact;
  return found?.format === format && (format !== "int8" || largest === 127) ? found : undefined;
}

function quantized(
  { inventory, sources, fresh }: QuantizableWeights,
  format: FormatName,
): Map<string, Change> {
  const found = new Map<string, Change>();
  for (const [name, { from, transposed, isHead }] of quantizable(inventory)) {
    const { shape } = entry(sources, from);
    const own = isHead ? HEAD_FORMAT : format;
    if (fresh.includes(from) || !fits(formats[own], shape, transposed)) continue;
    found.set(name, { target: { format: own, shape, transposed, parts: {} }, from });
  }
  return found;
}

function halved({ inventory, sources, fresh }: QuantizableWeights, format: FormatName): Map<string, Change> {
  const found = new Map<string, Change>();
  const matrices = [...inventory.linears.values(), ...inventory.stacks.values()];
  const directions = new Map(matrices.map((l) => [l.weight, l.transposed]));
  for (const [name, { shape, format: stored }] of sources) {
    if ((shape.length !== 2 && !inventory.stacks.has(name)) || stored === format || fresh.includes(name))
      continue;
    const transposed = directions.get(name) ?? false;
    found.set(name, { target: { format, shape, transposed, parts: {} }, from: name });
  }
  return found;
}

type Origins = readonly (readonly [name: string, source: WeightSource])[];

/** The checkpoint's files, links followed, with their sizes and times. */
async function stateOf(origins: Origins): Promise<string> {
  const parts = origins.flatMap(([, source]) => Object.values(source.parts));
  const paths = new Set(parts.flatMap(filesOf));
  const states = [...paths].map(async (path) => [
    path,
    await nodeFiles.size(path),
    await nodeFiles.changed(path),
  ]);
  return JSON.stringify(await Promise.all(states));
}

/** Tells a cache from that of any other checkpoint, format, way of packing or layout. */
async function keyOf(
  origins: Origins,
  targets: ReadonlyMap<string, WeightSource>,
  options: QuantizeOptions,
  state: string,
): Promise<string> {
  const places: unknown[] = [];
  for (const [name, { format: stored, shape, parts }] of origins) {
    const { format, transposed } = entry(targets, name);
    places.push([name, stored, shape, format, transposed]);
    for (const part of Object.values(parts)) places.push(isInFiles(part) ? part : await sha256(part));
  }
  const used = [...new Set([...targets.values()].map(({ format }) => format))];
  const packings = await Promise.all(used.map((format) => packingOf(format, options)));
  const known = [VERSION, packings, state, places];
  return sha256(new TextEncoder().encode(JSON.stringify(known)));
}

/**
 * What becomes of one small matrix: another wherever packing is, so that no cache outlives the code that made
 * it.
 */
async function packingOf(format: FormatName, options: QuantizeOptions): Promise<string[]> {
  const shape = [128, 256];
  const next = random(0, 0);
  const numbers = Float32Array.from({ length: elements(shape) }, () => uniform(next) - uniform(next));
  const ways = [false, true].filter((transposed) => formats[format].fits?.(shape, transposed) ?? true);
  const parts = ways.flatMap((way) => Object.values(packWeight(numbers, shape, way, format, options)));
  return Promise.all(parts.map(sha256));
}

async function sha256({ buffer, byteOffset, byteLength }: ArrayBufferView): Promise<string> {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  const hash = await crypto.subtle.digest("SHA-256", bytes.slice());
  return [...new Uint8Array(hash)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function waiting(file: string, { progress, signal }: QuantizeOptions): (ms: number) => Promise<void> {
  let said = false;
  return async (ms) => {
    checkAborted(signal);
    if (!said)
      progress?.({ kind: "waiting", done: 0, total: 0, message: `Another process makes "${file}".` });
    said = true;
    await new Promise((resolve) => setTimeout(resolve, ms));
  };
}
