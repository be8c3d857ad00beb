import { internal } from "../../errors.js";
import { entry } from "../../present.js";
import { Buffers, LARGE } from "../buffers.js";
import type { PartData, PartTensor, PartType } from "../formats/format.js";
import { bytesOf, elements, partBytes, partsOf } from "../formats/format.js";
import { formats } from "../formats/index.js";
import type { WeightSource } from "../messages.js";
import type { WeightFiles } from "./files.js";
import { isInFiles } from "./files.js";
import { Residents } from "./residents.js";

export type LoadedParts = Readonly<Record<string, PartTensor>>;

interface Entry {
  readonly parts: LoadedParts;
  /** Buffers that were filled from files, to be used again. */
  readonly own: readonly ArrayBuffer[];
  readonly ready: Promise<void>;
  done: boolean;
}

/**
 * Weights that are fed to programs, read from their files. Buffers of what goes serve again. A sweep there
 * and back, as training does it, finds what the turn left.
 */
export class WeightCache {
  readonly #files: WeightFiles;
  readonly #entries: Map<string, Entry> = new Map();
  readonly #buffers: Buffers = new Buffers((bytes) => new ArrayBuffer(bytes));
  readonly #residents: Residents;
  readonly #sourceOf: (name: string) => WeightSource;

  /** `capacity`: bytes that may be held. */
  constructor(files: WeightFiles, capacity: number, sourceOf: (name: string) => WeightSource) {
    this.#files = files;
    this.#sourceOf = sourceOf;
    this.#residents = new Residents(capacity, {
      enter: (name) => this.#start(name),
      leave: (name) => this.#leave(name),
      mayLeave: (name) => entry(this.#entries, name).done,
    });
  }

  /** Weights that are about to be used, all at once, in the order of their names. */
  async get(names: readonly string[]): Promise<LoadedParts[]> {
    this.#residents.use(names, this.#bytesOf);
    const entries = names.map(
      (name) => this.#entries.get(name) ?? internal(`weight "${name}" was not loaded`),
    );
    await Promise.all(entries.map(({ ready }) => ready));
    return entries.map(({ parts }) => parts);
  }

  /** Starts to read what is used next, as far as there is room beside what is used now. */
  prefetch(next: readonly string[], now: readonly string[]): void {
    this.#residents.expect(next, now, this.#bytesOf);
  }

  forget(name: string): void {
    this.#residents.forget(name);
    for (const buffer of this.#entries.get(name)?.own ?? []) this.#buffers.forget(buffer);
    this.#entries.delete(name);
  }

  clear(): void {
    this.#residents.clear();
    this.#entries.clear();
    this.#buffers.clear();
  }

  readonly #bytesOf = (name: string): number => {
    const { format, shape, transposed } = this.#sourceOf(name);
    return bytesOf(formats[format], shape, transposed);
  };

  #leave(name: string): void {
    for (const buffer of entry(this.#entries, name).own) this.#buffers.give(buffer);
    this.#entries.delete(name);
  }

  #start(name: string): void {
    const { format, shape, transposed, parts: given } = this.#sourceOf(name);
    const reads: Promise<void>[] = [];
    const own: ArrayBuffer[] = [];
    const parts: Record<string, PartTensor> = {};
    for (const [part, type] of Object.entries(partsOf(formats[format], shape, transposed))) {
      const place = given[part] ?? internal(`weight "${name}" lacks its ${part}`);
      if (!isInFiles(place)) {
        parts[part] = { ...type, data: place };
        continue;
      }
      const bytes = partBytes(type);
      const buffer = bytes < LARGE ? new ArrayBuffer(bytes) : this.#buffers.take(bytes);
      if (bytes >= LARGE) own.push(buffer);
      parts[part] = { ...type, data: viewOf(buffer, type) };
      reads.push(this.#files.read(place, new Uint8Array(buffer, 0, bytes)));
    }
    const ready = Promise.all(reads).then(() => undefined);
    const entry: Entry = { parts, own, ready, done: false };
    this.#entries.set(name, entry);
    ready.then(
      () => {
        entry.done = true;
      },
      () => this.forget(name), // whoever waits for it gets the error
    );
  }
}

/** The beginning of a buffer as a part's type has it. */
export function viewOf(buffer: ArrayBuffer, { element, shape }: PartType): PartData {
  const count = elements(shape);
  if (element === "f32") return new Float32Array(buffer, 0, count);
  if (element === "i8") return new Int8Array(buffer, 0, count);
  return element === "u8" ? new Uint8Array(buffer, 0, count) : new Uint16Array(buffer, 0, count);
}
