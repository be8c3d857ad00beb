import { internal } from "../errors.js";
import { at } from "../present.js";
import type { Buffers } from "./buffers.js";
import { ort } from "./devices/ort.js";
import { elements } from "./formats/format.js";
import type { Arrangement, CacheRow } from "./messages.js";

interface Arranged {
  readonly name: string;
  readonly tensor: ort.Tensor;
}

/** New caches, one after another: what they take the place of may be given back before the next is made. */
export function* arranged(
  { caches, rows, length }: Arrangement,
  held: ReadonlyMap<string, ort.Tensor>,
  buffers: Buffers,
): Generator<Arranged> {
  const cacheOf = (name: string): ort.Tensor => held.get(name) ?? internal(`nothing is held as "${name}"`);
  const isInPlace = rows.includes(undefined);
  for (const { name, sources } of caches) {
    const from = sources.map(cacheOf);
    const [, heads = 0, , dim = 0] = at(from, 0).dims;
    const tensor = isInPlace ? cacheOf(name) : emptyCache([rows.length, heads, length, dim], buffers);
    const width = heads * length * dim;
    const data = floatsOf(tensor);
    for (const [i, row] of rows.entries())
      if (row !== undefined)
        layRow(data.subarray(i * width, (i + 1) * width), at(from, row.source), row, length);
    if (!isInPlace) yield { name, tensor };
  }
}

function emptyCache(shape: readonly number[], buffers: Buffers): ort.Tensor {
  const count = elements(shape);
  return new ort.Tensor("float32", new Float32Array(buffers.take(4 * count), 0, count), shape);
}

/** One row, [heads, length, dim]. */
function layRow(into: Float32Array, source: ort.Tensor, row: CacheRow, length: number): void {
  const [, heads = 0, entries = 0, dim = 0] = source.dims;
  const data = floatsOf(source);
  const { from, count, to } = row;
  for (let head = 0; head < heads; head++) {
    const first = ((row.row * heads + head) * entries + from) * dim;
    const start = head * length * dim;
    into.fill(0, start, start + to * dim);
    into.set(data.subarray(first, first + count * dim), start + to * dim);
    into.fill(0, start + (to + count) * dim, start + length * dim);
  }
}

/** Writes rows [rows, heads, n, dim] into a cache [rows, heads, length, dim], from an entry on. */
export function writeEntries(cache: ort.Tensor, rows: ort.Tensor, entry: number): void {
  const [into, data] = [floatsOf(cache), floatsOf(rows)];
  const [batch = 0, heads = 0, length = 0, dim = 0] = cache.dims;
  const width = data.length / (batch * heads);
  for (let i = 0; i < batch * heads; i++)
    into.set(data.subarray(i * width, (i + 1) * width), (i * length + entry) * dim);
}

function floatsOf({ data, type }: ort.Tensor): Float32Array {
  return data instanceof Float32Array ? data : internal(`a cache of type ${type}`);
}
