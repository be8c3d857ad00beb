import type { Arrangement, CacheRow } from "../engine/messages.js";
import type { CacheShape } from "../graph/module.js";
import { at } from "../present.js";
import { cacheNames } from "../trace/inputs.js";

/** A row of a running batch. */
export interface CachedRow {
  /** The prompt that it continues, by its number. */
  readonly prompt: number;
  /** What is seen of its entries in the caches, from the first one that is: 1, else 0 (padding). */
  readonly mask: number[];
  /** Its tokens, as they were fed. */
  readonly ids: number[];
  /** Entries that are seen; all of them, padding in front included. */
  seen: number;
  total: number;
}

/** Caches that are held: names of keys and values layer by layer, and how many of their entries are used. */
export interface HeldCaches {
  readonly names: readonly string[];
  used: number;
}

/** A row, and where its keys and values are at the moment. */
export interface PlacedRow {
  readonly row: CachedRow;
  readonly caches: HeldCaches;
  readonly index: number;
}

/** What moves caches: a Runtime. */
interface Arranger {
  arrange(arrangement: Arrangement): Promise<void>;
}

/**
 * Caches have room for what follows, and are laid anew when it is used up: each entry more than is in use
 * costs attention, each time they are laid costs a copy.
 */
const ROOM = 64;

/** A row as it is after `mask` was read: what is padding in front is no part of it. */
export function rowOf(prompt: number, ids: readonly number[], mask: readonly number[]): CachedRow {
  const own = mask.slice(Math.max(0, mask.indexOf(1)));
  return { prompt, ids: [...ids], mask: own, seen: own.reduce((a, b) => a + b, 0), total: mask.length };
}

/** Another row that goes on from the same tokens. */
export function copyOf(row: CachedRow): CachedRow {
  return { ...row, ids: [...row.ids], mask: [...row.mask] };
}

/** Rows that run together, with their keys and values. All of them end at the same entry. */
export class CachedRows {
  readonly #runtime: Arranger;
  readonly caches: HeldCaches;
  rows: CachedRow[] = [];
  /** Entries that the caches have. */
  room = 0;

  constructor(runtime: Arranger, cache: CacheShape, name: string) {
    this.#runtime = runtime;
    this.caches = { names: namesIn(cache, name), used: 0 };
  }

  get isFull(): boolean {
    return this.caches.used >= this.room;
  }

  /** [rows, room] */
  get mask(): Int32Array {
    const mask = new Int32Array(this.rows.length * this.room);
    for (const [i, row] of this.rows.entries())
      mask.set(row.mask, i * this.room + this.caches.used - row.mask.length);
    return mask;
  }

  /** The rows as they stand. */
  get placed(): PlacedRow[] {
    return this.rows.map((row, index) => ({ row, caches: this.caches, index }));
  }

  /** Lays the caches for these rows, with room for one token at least. Names of sources may be released. */
  async lay(placed: readonly PlacedRow[]): Promise<void> {
    const stays = ({ caches, index }: PlacedRow, i: number): boolean => caches === this.caches && index === i;
    const longest = Math.max(...placed.map(({ row }) => row.mask.length));
    const isSame = placed.length === this.rows.length && longest <= this.caches.used && !this.isFull;
    const isInPlace = isSame && placed.every((row, i) => stays(row, i) || row.caches !== this.caches);
    const used = isInPlace ? this.caches.used : longest;
    const sources = [...new Set(placed.map(({ caches }) => caches))];
    const rows = placed.map((own, i): CacheRow | undefined => {
      if (isInPlace && stays(own, i)) return undefined;
      const count = own.row.mask.length;
      const source = sources.indexOf(own.caches);
      return { source, row: own.index, from: own.caches.used - count, count, to: used - count };
    });
    this.rows = placed.map(({ row }) => row);
    if (!isInPlace) this.room = ROOM * Math.ceil((used + 1) / ROOM);
    const caches = this.caches.names.map((name, i) => ({
      name,
      sources: sources.map((s) => at(s.names, i)),
    }));
    if (rows.some((row) => row !== undefined))
      await this.#runtime.arrange({ rows, length: this.room, caches });
    this.caches.used = used;
  }

  /** Each row got a token. */
  push(tokens: Int32Array): void {
    this.caches.used++;
    for (const [i, row] of this.rows.entries()) {
      row.ids.push(at(tokens, i));
      row.mask.push(1);
      row.seen++;
      row.total++;
    }
  }
}

/** Names under which caches are held. */
export function namesIn(cache: CacheShape, name: string): string[] {
  return cacheNames("past", cache).flatMap(({ k, v }) => [`${name}.${k}`, `${name}.${v}`]);
}
