import { internal } from "../errors.js";
import { Buffers } from "./buffers.js";
import type { PartData, PartType } from "./formats/format.js";
import { BYTES, elements } from "./formats/format.js";
import { formats } from "./formats/index.js";
import type { FilePlace, WeightSource } from "./messages.js";
import type { WeightFiles } from "./weight_files.js";
import { isPlace } from "./weight_files.js";

export type LoadedParts = Readonly<Record<string, PartData>>;

interface Entry {
  readonly parts: LoadedParts;
  /** Buffers that were filled from files, to be used again. */
  readonly own: readonly ArrayBuffer[];
  readonly bytes: number;
  readonly ready: Promise<void>;
  done: boolean;
}

/**
 * Weights that are fed to programs, read from their files. What is not used for longest makes room for what is needed next, and its
 * buffers serve again. A sweep there and back, as training does it, finds what the turn left.
 */
export class WeightCache {
  readonly #files: WeightFiles;
  /** Bytes that may be held. */
  readonly #capacity: number;
  /** In the order of last use. */
  readonly #entries: Map<string, Entry> = new Map();
  readonly #buffers: Buffers = new Buffers();
  #bytes = 0;

  constructor(files: WeightFiles, capacity: number) {
    this.#files = files;
    this.#capacity = capacity;
  }

  /** Weights that are about to be used, all at once. */
  async get(wanted: ReadonlyMap<string, WeightSource>): Promise<Map<string, LoadedParts>> {
    this.#load(wanted, new Set(wanted.keys()), true);
    const found = new Map<string, LoadedParts>();
    for (const name of wanted.keys()) {
      const entry = this.#entries.get(name) ?? internal(`weight "${name}" was not loaded`);
      this.#entries.delete(name);
      this.#entries.set(name, entry);
      found.set(name, entry.parts);
    }
    await Promise.all([...wanted.keys()].map((name) => this.#entries.get(name)!.ready));
    return found;
  }

  /** Starts to read what is used next, as far as there is room beside what is used now. */
  prefetch(next: ReadonlyMap<string, WeightSource>, now: Iterable<string>): void {
    this.#load(next, new Set([...next.keys(), ...now]), false);
  }

  forget(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#bytes -= entry.bytes;
  }

  clear(): void {
    this.#entries.clear();
    this.#buffers.clear();
    this.#bytes = 0;
  }

  #load(wanted: ReadonlyMap<string, WeightSource>, protect: ReadonlySet<string>, must: boolean): void {
    for (const [name, source] of wanted) {
      if (this.#entries.has(name)) continue;
      const types = formats[source.format].parts(source.shape, source.transposed);
      const bytes = Object.values(types).reduce((n, t) => n + sizeOf(t), 0);
      if (!this.#makeRoom(bytes, protect) && !must) return;
      this.#start(name, source, types, bytes);
    }
  }

  /** False: there is no room for as much beside what is protected. */
  #makeRoom(bytes: number, protect: ReadonlySet<string>): boolean {
    for (const [name, entry] of this.#entries) {
      if (this.#bytes + bytes <= this.#capacity) return true;
      if (protect.has(name) || !entry.done) continue;
      this.forget(name);
      for (const buffer of entry.own) this.#buffers.give(buffer);
    }
    return this.#bytes + bytes <= this.#capacity;
  }

  #start(name: string, source: WeightSource, types: Readonly<Record<string, PartType>>, bytes: number): void {
    const reads: Promise<void>[] = [];
    const own: ArrayBuffer[] = [];
    const parts: Record<string, PartData> = {};
    for (const [part, type] of Object.entries(types)) {
      const given = source.parts[part] ?? internal(`weight "${name}" lacks its ${part}`);
      if (!isPlace(given)) {
        parts[part] = given;
        continue;
      }
      const buffer = this.#buffers.take(sizeOf(type));
      own.push(buffer);
      parts[part] = viewOf(buffer, type);
      reads.push(this.#files.read(given as FilePlace, new Uint8Array(buffer)));
    }
    const ready = Promise.all(reads).then(() => undefined);
    const entry: Entry = { parts, own, bytes, ready, done: false };
    this.#entries.set(name, entry);
    this.#bytes += bytes;
    ready.then(
      () => {
        entry.done = true;
      },
      () => this.forget(name), // whoever waits for it gets the error
    );
  }
}

function sizeOf({ element, shape }: PartType): number {
  return BYTES[element] * elements(shape);
}

/** A buffer as its element type has it. */
export function viewOf(buffer: ArrayBuffer, { element }: PartType): PartData {
  if (element === "f32") return new Float32Array(buffer);
  if (element === "i8") return new Int8Array(buffer);
  return element === "u8" ? new Uint8Array(buffer) : new Uint16Array(buffer);
}
