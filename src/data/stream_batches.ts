import { at } from "../present.js";
import { below, type Random, random, shuffled } from "../random.js";
import type { Batch, TaskType } from "./batch.js";
import { textKeys } from "./distinct.js";
import type { EncodedRows } from "./encode.js";
import { type MediaBatches, seedOfEpoch } from "./media.js";
import { type OrderOptions, orderOf, sortedTogether } from "./order.js";
import type { CollateOptions } from "./padding.js";
import { chunked } from "./record_source.js";
import type { Row } from "./row.js";
import { lengthOf, type Sample } from "./sample.js";

/** How the rows of one epoch become batches. */
export interface EpochOptions<T extends TaskType> extends Omit<OrderOptions, "epochs" | "startAt"> {
  /**
   * How many batches are passed over before the first that is given; what the epoch has of them is taken off.
   */
  readonly skip: { batches: number };
  readonly encode: (rows: readonly Row[]) => EncodedRows<T>;
  /** Whether rows may be left out in encoding; if not, whole chunks are skipped without it. */
  readonly drops: boolean;
  readonly padding: CollateOptions;
  /** Makes their columns. */
  readonly media: MediaBatches;
}

/** Rows that move together with their place in the stream. */
interface Placed {
  readonly row: Row;
  readonly place: number;
}

/** What one epoch gives: a batch, and where its rows stood. */
export interface PlacedBatch<T extends TaskType> {
  readonly batch: Batch<T>;
  readonly at: readonly string[];
}

/**
 * The batches of one epoch, of rows whose number need not be known: no more than a window of them, and those
 * that are sorted by length together, are in memory. The same seed, epoch and rows give the same batches.
 */
export async function* epochBatches<T extends TaskType>(
  rows: AsyncIterable<Row>,
  epoch: number,
  options: EpochOptions<T>,
): AsyncGenerator<PlacedBatch<T>> {
  const {
    seed = 0,
    batchSize = 8,
    shuffle = true,
    shuffleWindow = defaultWindow,
    dropLast = false,
  } = options;
  const { skip, groupByLength = shuffle } = options;
  const placed = placesOf(rows);
  const ordered = shuffle ? shuffledWithin(placed, shuffleWindow, random(seed, epoch)) : placed;
  let part = 0;
  const pending: Sample<T>[] = [];
  const take = async function* (
    samples: readonly Sample<T>[],
    isLast: boolean,
  ): AsyncGenerator<PlacedBatch<T>> {
    const stream = (epoch + 0x10000 * ++part) >>> 0; // each part has an order of its own
    const lengths = samples.map(lengthOf);
    const ordering = { seed, batchSize, shuffle, groupByLength, dropLast: dropLast && isLast };
    const order = orderOf(lengths, stream, ordering, textKeys(samples));
    const first = Math.min(skip.batches, order.length);
    skip.batches -= first;
    const lists = order.slice(first).map((places) => places.map((i) => at(samples, i)));
    const placeOf = new Map(samples.map((sample) => [sample.row, sample.at]));
    for await (const batch of options.media.of(lists, options.padding, seedOfEpoch(seed, epoch)))
      yield { batch, at: [...batch.rows].map((row) => placeOf.get(row) ?? "") };
  };
  const size = batchSize * sortedTogether;
  for await (const chunk of chunked(ordered, size)) {
    if (skip.batches >= sortedTogether && chunk.length === size && !options.drops) {
      skip.batches -= sortedTogether;
      part++;
      continue;
    }
    const { samples } = options.encode(chunk.map(({ row }) => row));
    pending.push(...samples.map((sample) => ({ ...sample, row: chunk[sample.row]!.place })));
    while (pending.length >= size) yield* take(pending.splice(0, size), false);
  }
  if (pending.length > 0) yield* take(pending, true);
}

/** Rows that are shuffled together where a stream is. */
export const defaultWindow = 10_000;

async function* placesOf(rows: AsyncIterable<Row>): AsyncGenerator<Placed> {
  let place = 0;
  for await (const row of rows) yield { row, place: place++ };
}

/**
 * Each item takes the place of a random one of a window, which goes on: no item comes more than a window too
 * early.
 */
export async function* shuffledWithin<Item>(
  items: AsyncIterable<Item>,
  window: number,
  next: Random,
): AsyncGenerator<Item> {
  const waiting: Item[] = [];
  for await (const item of items) {
    if (waiting.length < window) waiting.push(item);
    else {
      const i = below(next, window);
      yield waiting[i]!;
      waiting[i] = item;
    }
  }
  yield* shuffled(waiting, next);
}
