import * as fs from "node:fs";
import * as path from "node:path";
import { PeftError } from "../../errors.js";
import type { FilePieces, FilePlace, WeightSource } from "../messages.js";

interface Open {
  readonly fd: number;
  readonly size: number;
  readonly changed: number;
}

/** Files of weights, kept open: whole at first, and the same ever after. */
export class WeightFiles {
  readonly #open: Map<string, Open> = new Map();

  async read(part: FilePlace | FilePieces, into: Uint8Array): Promise<void> {
    await Promise.all(pieces(part, into).map(([place, own]) => this.#read(place, own)));
  }

  #read(place: FilePlace, into: Uint8Array): Promise<void> {
    const { fd } = this.#file(place.path);
    return new Promise((resolve, reject) => {
      let done = 0;
      const more = (): void => {
        fs.read(fd, into, done, into.length - done, place.offset + done, (error, n) => {
          if (error !== null) return reject(unreadable(place.path, error.message));
          if (n === 0) return reject(endsEarly(place.path));
          done += n;
          if (done === into.length) resolve();
          else more();
        });
      };
      more();
    });
  }

  readSync(part: FilePlace | FilePieces, into: Uint8Array): void {
    for (const [place, own] of pieces(part, into)) this.#readSync(place, own);
  }

  #readSync(place: FilePlace, into: Uint8Array): void {
    const { fd } = this.#file(place.path);
    for (let done = 0; done < into.length; ) {
      const n = fs.readSync(fd, into, done, into.length - done, place.offset + done);
      if (n === 0) throw endsEarly(place.path);
      done += n;
    }
  }

  /**
   * Throws "checkpoint" where a file is not what it was: what is mapped of it would be another model, or
   * crash.
   */
  check(): void {
    for (const [file, { size, changed }] of this.#open) {
      const now = fs.statSync(file, { throwIfNoEntry: false });
      if (now === undefined) throw unreadable(file, "it is not there any more.");
      if (now.size !== size || now.mtimeMs !== changed) throw unreadable(file, "it was changed meanwhile.");
    }
  }

  /** Watches a file from now on. */
  watch(file: string): void {
    this.#file(file);
  }

  close(): void {
    for (const { fd } of this.#open.values()) fs.closeSync(fd);
    this.#open.clear();
  }

  #file(file: string): Open {
    const known = this.#open.get(file);
    if (known !== undefined) return known;
    const fd = fs.openSync(file, "r");
    const { size, mtimeMs } = fs.fstatSync(fd);
    const open = { fd, size, changed: mtimeMs };
    this.#open.set(file, open);
    return open;
  }
}

function endsEarly(file: string): PeftError {
  return unreadable(file, "it ends before its weights do.");
}

export function unreadable(file: string, why: string): PeftError {
  return new PeftError("checkpoint", {
    what: `The weights in "${file}" cannot be read.`,
    why,
    fix: "leave the model's files as they are while it is in use; else download them again.",
  });
}

type Part = WeightSource["parts"][string];

/** It lies in one place: it can be mapped. */
export function isPlace(part: Part): part is FilePlace {
  return "offset" in part;
}

/** It is in files, in one piece or several. */
export function isInFiles(part: Part): part is FilePlace | FilePieces {
  return "offset" in part || "pieces" in part;
}

/** Files that a part is in. */
export function filesOf(part: Part): string[] {
  if ("pieces" in part) return part.pieces.map(({ path }) => path);
  return isPlace(part) ? [part.path] : [];
}

/** What of `into` each piece of a part fills. */
function pieces(part: FilePlace | FilePieces, into: Uint8Array): [FilePlace, Uint8Array][] {
  if (isPlace(part)) return [[part, into]];
  let done = 0;
  return part.pieces.map((piece) => {
    const own = into.subarray(done, done + piece.bytes);
    done += piece.bytes;
    return [piece, own];
  });
}

/**
 * Links followed: ONNX Runtime maps no file that lies outside its folder, and the Hub's cache is made of
 * links.
 */
export function resolved(source: WeightSource): WeightSource {
  const parts = Object.entries(source.parts).map(([name, part]) => {
    if (!isInFiles(part)) return [name, part] as const;
    if (isPlace(part)) return [name, { path: linked(part.path), offset: part.offset }] as const;
    return [name, { pieces: part.pieces.map((piece) => ({ ...piece, path: linked(piece.path) })) }] as const;
  });
  return { ...source, parts: Object.fromEntries(parts) };
}

function linked(file: string): string {
  if (!fs.existsSync(file)) throw unreadable(file, "it is not there.");
  return fs.realpathSync(file);
}

export function isInside(folder: string, file: string): boolean {
  return file.startsWith(folder.endsWith(path.sep) ? folder : `${folder}${path.sep}`);
}

export function locationIn(folder: string, file: string): string {
  return path.relative(folder, file);
}

/** The deepest folder that holds all weight files, or at least the first. */
export function commonFolder(weights: Iterable<WeightSource>): string {
  const files = new Set([...weights].flatMap((w) => Object.values(w.parts).flatMap(filesOf)));
  let folder: string | undefined;
  for (const file of files) {
    folder ??= path.dirname(file);
    while (!isInside(folder, file) && folder !== path.dirname(folder)) folder = path.dirname(folder);
  }
  return folder ?? path.resolve("/");
}
