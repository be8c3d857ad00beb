import { PeftError } from "../../errors.js";
import { standardInput } from "../../platform.js";
import type { TableOptions } from "./table.js";

/**
 * Bytes of a file from its beginning to its end, in pieces; what is packed with gzip or Zstandard comes
 * unpacked.
 */

const pieceBytes = 4 * 2 ** 20;

/** The name that stands for standard input. */
export const INPUT = "-";

/** The pieces of a file. A file that is empty has none. Throws "data" where what is packed is damaged. */
export async function* readBytes(file: string, options: TableOptions): AsyncGenerator<Uint8Array> {
  const pieces = file === INPUT ? standardInput() : plainPieces(file, options);
  const iterator = pieces[Symbol.asyncIterator]();
  const { done, value: first } = await iterator.next();
  if (done) return;
  async function* all(): AsyncGenerator<Uint8Array> {
    yield first;
    for (;;) {
      const step = await iterator.next();
      if (step.done) return;
      yield step.value;
    }
  }
  try {
    const packed = packings.find(({ magic }) => magic.every((byte, i) => first[i] === byte));
    if (packed === undefined) yield* all();
    else yield* unpacked(file, packed, all());
  } finally {
    await iterator.return?.();
  }
}

/** What a name says that a file is packed with: taken off, it names the form. */
export function withoutPacking(file: string): string {
  return file.replace(/\.(gz|zst|zstd)$/i, "");
}

/** Pieces one after another, as one. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

async function* plainPieces(file: string, { reader }: TableOptions): AsyncGenerator<Uint8Array> {
  const size = await reader.size(file);
  for (let offset = 0; offset < size; offset += pieceBytes)
    yield await reader.read(file, offset, Math.min(pieceBytes, size - offset));
}

interface Packing {
  readonly name: string;
  readonly magic: readonly number[];
  unpack(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>;
}

const packings: readonly Packing[] = [
  { name: "gzip", magic: [0x1f, 0x8b], unpack: gunzip },
  { name: "Zstandard", magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: unzstd },
];

async function* unpacked(
  file: string,
  { name, unpack }: Packing,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let isReading = false;
  async function* marked(): AsyncGenerator<Uint8Array> {
    const iterator = pieces[Symbol.asyncIterator]();
    for (;;) {
      isReading = true;
      const step = await iterator.next();
      isReading = false;
      if (step.done) return;
      yield step.value;
    }
  }
  const iterator = unpack(marked());
  for (;;) {
    let step: IteratorResult<Uint8Array>;
    try {
      step = await iterator.next();
    } catch (cause) {
      if (isReading || cause instanceof PeftError) throw cause;
      throw new PeftError("data", {
        what: `${file} cannot be unpacked (${cause instanceof Error ? cause.message : cause}).`,
        why: `it begins as ${name} does, and is damaged or cut short.`,
        fix: "download or pack it again.",
        cause,
      });
    }
    if (step.done) return;
    yield step.value;
  }
}

async function* gunzip(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  let fault: unknown;
  const feeding = (async () => {
    try {
      for await (const piece of pieces) await writer.write(new Uint8Array(piece));
      await writer.close();
    } catch (error) {
      fault ??= error;
      await writer.abort(error).catch(() => undefined);
    }
  })();
  const reader = stream.readable.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield value;
    }
  } catch (error) {
    throw fault instanceof PeftError ? fault : error;
  } finally {
    await reader.cancel().catch(() => undefined);
    await feeding;
  }
}

/** The window that zstd itself takes without being told to: more is asked for by files that nobody made. */
const largestWindow = 2 ** 27;

async function* unzstd(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import("fzstd");
  const out: Uint8Array[] = [];
  let ended = false;
  const stream = new Decompress((chunk, isLast) => {
    if (chunk.length > 0) out.push(chunk.slice());
    ended = isLast === true;
  });
  let isFirst = true;
  for await (const piece of pieces) {
    if (isFirst) checkWindow(piece);
    isFirst = false;
    for (let at = 0; at < piece.length; at += 2 ** 16) {
      stream.push(piece.subarray(at, at + 2 ** 16));
      yield* out.splice(0);
    }
  }
  stream.push(new Uint8Array(), true);
  yield* out.splice(0);
  if (!ended) throw new Error("it ends within a frame");
}

/** Reference: RFC 8878, 3.1.1.1 */
function checkWindow(start: Uint8Array): void {
  const [descriptor = 0, window = 0] = start.subarray(4, 6);
  const isSingle = (descriptor & 0x20) !== 0;
  if (isSingle) return;
  const size = 2 ** (10 + (window >> 3)) * (1 + (window & 7) / 8);
  if (size > largestWindow) throw new Error(`its window is ${size} bytes, more than ${largestWindow}`);
}
