import { internal } from "../../errors.js";
import { expandToF32, isHalf } from "../../halves.js";
import { at } from "../../present.js";
import type { WeightUse } from "../estimate/program.js";
import type { BoundWeight, PartData, PartTensor, PartType } from "../formats/format.js";
import { bytesOf, partBytes, partsOf } from "../formats/format.js";
import { formats } from "../formats/index.js";
import type { EngineOptions, FilePieces, FilePlace, WeightSource, WeightType } from "../messages.js";
import type { OnnxGraph } from "../onnx/onnx.js";
import { viewOf, WeightCache } from "./cache.js";
import {
  commonFolder,
  filesOf,
  isInFiles,
  isInside,
  isPlace,
  locationIn,
  resolved,
  WeightFiles,
} from "./files.js";

type Tensors = Record<string, PartTensor>;

/** How a session reads a weight. */
interface Binding {
  /** See StoredWeight. */
  readonly laidOut: boolean;
  /** Some rows of it only: these are brought to f32, not all of it. */
  readonly byRows: boolean;
}

/**
 * A model's weights in the worker. By the model's names they are bound once: mapped where they lie in files,
 * else held and fed. Block by block they are fed to programs that name them as they like, read ahead of their
 * use.
 */
export class WeightStore {
  readonly #options: EngineOptions;
  readonly #sources: Map<string, WeightSource>;
  readonly #files: WeightFiles = new WeightFiles();
  readonly #cache: WeightCache;
  /** Weights held in memory under the model's names, as they are fed. */
  readonly #held: Map<string, Tensors> = new Map();
  /** Where mapped weights are looked for: a folder that holds all their files. */
  root = "";

  constructor(options: EngineOptions, sources: ReadonlyMap<string, WeightSource>) {
    this.#options = options;
    this.#sources = new Map();
    this.#cache = new WeightCache(this.#files, options.keep ?? Number.POSITIVE_INFINITY, (name) =>
      this.#source(name),
    );
    this.change(sources);
  }

  change(changed: ReadonlyMap<string, WeightSource | undefined>): void {
    for (const [name, source] of changed) {
      this.#held.delete(name);
      this.#cache.forget(name);
      if (source === undefined) this.#sources.delete(name);
      else this.#sources.set(name, resolved(source));
    }
    this.root = commonFolder(this.#sources.values());
    for (const source of this.#sources.values())
      for (const part of Object.values(source.parts))
        for (const file of filesOf(part)) this.#files.watch(file);
  }

  /** Throws "checkpoint" where files were changed. */
  check(): void {
    this.#files.check();
  }

  close(): void {
    this.#held.clear();
    this.#cache.clear();
    this.#files.close();
  }

  /** Binds a weight by the model's name for it. */
  named(o: OnnxGraph, name: string, shape: readonly number[], { laidOut, byRows }: Binding): BoundWeight {
    const source = this.#source(name);
    if (!this.isMapped(name, byRows)) return fedWeight(o, name, shape, this.#heldType(source));
    const format = formats[source.format];
    const parts: Record<string, string> = {};
    for (const [part, type] of Object.entries(partsOf(format, shape, source.transposed))) {
      const place = source.parts[part];
      if (place === undefined || !isPlace(place)) return internal(`"${name}" is not in a file`);
      const { path: file, offset } = place;
      const bytes = partBytes(type);
      const location = locationIn(this.root, file);
      parts[part] = o.external(inputName(name, part), type.element, type.shape, { location, offset, bytes });
    }
    return { format, parts, shape, transposed: source.transposed, laidOut };
  }

  /** How a session reads a weight by the model's name for it; see `isMapped`. */
  useOf(name: string, byRows: boolean): WeightUse {
    const source = this.#source(name);
    const fed = !this.isMapped(name, byRows);
    return { ...(fed ? this.#heldType(source) : source), fed };
  }

  /** Bytes of these weights, as they are stored. */
  bytesOf(names: readonly string[]): number {
    const bytes = (name: string): number => {
      const { format, shape, transposed } = this.#source(name);
      return bytesOf(formats[format], shape, transposed);
    };
    return names.reduce((n, name) => n + bytes(name), 0);
  }

  /** Whether some of these weights are in 8 or 4 bits. */
  arePacked(names: readonly string[]): boolean {
    return names.some((name) => formats[this.#source(name).format].pack !== undefined);
  }

  /** Whether it is read where it lies in a file; `byRows`: only rows of it are. */
  isMapped(name: string, byRows: boolean): boolean {
    const source = this.#source(name);
    const inFiles = Object.values(source.parts).every((p) => isPlace(p) && isInside(this.root, p.path));
    return inFiles && (byRows || !this.#expands(source));
  }

  /** Feeds of weights that are bound by name and not mapped. */
  feeds(names: readonly string[]): Tensors {
    return Object.assign({}, ...names.map((name) => this.#heldTensors(name)));
  }

  /** Feeds of weights under the program's own names for them: own name -> the model's. */
  async fed(weights: Readonly<Record<string, string>>): Promise<Tensors> {
    const feeds: Tensors = {};
    const loaded = await this.#cache.get(Object.values(weights));
    for (const [i, own] of Object.keys(weights).entries())
      for (const [part, tensor] of Object.entries(at(loaded, i))) feeds[inputName(own, part)] = tensor;
    return feeds;
  }

  /** Starts to read weights of the next step beside those of this one. */
  prefetch(next: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): void {
    this.#cache.prefetch(Object.values(next), Object.values(now));
  }

  #source(name: string): WeightSource {
    return this.#sources.get(name) ?? internal(`no weight "${name}"`);
  }

  #expands({ format }: WeightSource): boolean {
    return isHalf(format) && this.#options.resident === "f32";
  }

  #heldType(source: WeightSource): WeightType {
    const format = this.#expands(source) ? "f32" : source.format;
    return { format, transposed: source.transposed };
  }

  #heldTensors(name: string): Tensors {
    const known = this.#held.get(name);
    if (known !== undefined) return known;
    const source = this.#source(name);
    const { shape, transposed } = source;
    const tensors: Tensors = {};
    for (const [part, type] of Object.entries(partsOf(formats[source.format], shape, transposed))) {
      const data = this.#read(source.parts[part] ?? internal(`no part "${part}" of "${name}"`), type);
      tensors[inputName(name, part)] =
        isHalf(source.format) && this.#expands(source)
          ? { ...type, element: "f32", data: expandToF32(rawBytes(data), source.format) }
          : { ...type, data };
    }
    this.#held.set(name, tensors);
    return tensors;
  }

  #read(part: FilePlace | FilePieces | PartData, type: PartType): PartData {
    if (!isInFiles(part)) return part;
    const buffer = new ArrayBuffer(partBytes(type));
    this.#files.readSync(part, new Uint8Array(buffer));
    return viewOf(buffer, type);
  }
}

const inputName = (weight: string, part: string): string => `w:${weight}:${part}`;

/** Declares a weight's parts as inputs of a program; 16 bits cross the border as integers. */
export function fedWeight(
  o: OnnxGraph,
  name: string,
  shape: readonly number[],
  { format: formatName, transposed }: WeightType,
): BoundWeight {
  const format = formats[formatName];
  const parts: Record<string, string> = {};
  for (const [part, { element, shape: partShape }] of Object.entries(partsOf(format, shape, transposed))) {
    parts[part] = o.input(inputName(name, part), isHalf(element) ? "u16" : element, partShape);
  }
  return { format, parts, shape, transposed, asBits: true };
}

function rawBytes(data: PartData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
