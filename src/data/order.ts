import type { NamesOf } from "../arguments.js";
import { at } from "../present.js";
import { random, shuffled } from "../random.js";
import { type TextKeys, withoutRepeats } from "./distinct.js";

/** In which order rows come. */
export interface OrderOptions {
  /** Rows of a batch. @default 8 */
  batchSize?: number | undefined;
  /** Times that all rows come. @default 1 */
  epochs?: number | undefined;
  /** Seed of the order. @default 0 */
  seed?: number | undefined;
  /** Another order in every epoch; false keeps the rows' own. @default true */
  shuffle?: boolean | undefined;
  /** Batches of similar length, for less padding. @default as `shuffle` */
  groupByLength?: boolean | undefined;
  /** Of rows that are streamed: how many are shuffled together. @default 10000 */
  shuffleWindow?: number | undefined;
  /** Leave out the rows that do not fill the last batch of an epoch. @default false */
  dropLast?: boolean | undefined;
  /**
   * Begin at this batch, counted over all epochs: the batches are those that an unbroken run would see.
   * @default 0
   */
  startAt?: number | undefined;
}

export const orderNames: NamesOf<OrderOptions> = {
  batchSize: { python: "per_device_train_batch_size", also: ["batch"] },
  epochs: { python: "num_train_epochs", also: ["num_epochs"] },
  seed: {},
  shuffle: {},
  groupByLength: {},
  shuffleWindow: { also: ["buffer_size"] },
  dropLast: { python: "dataloader_drop_last" },
  startAt: {},
};

// Rows are sorted within this many batches: enough for little padding, few enough that the order stays
// random.
export const sortedTogether = 50;

/**
 * The rows of each batch of one epoch. It depends on nothing but seed, epoch, lengths and texts, so any epoch
 * can be the first.
 * @param texts of rows that are told apart within a batch
 */
export function orderOf(
  lengths: readonly number[],
  epoch: number,
  options: OrderOptions,
  texts?: TextKeys,
): number[][] {
  const { seed = 0, batchSize = 8, shuffle = true, groupByLength = shuffle, dropLast = false } = options;
  const next = random(seed, epoch);
  let rows = lengths.map((_, i) => i);
  if (shuffle) rows = shuffled(rows, next);
  if (dropLast) rows = rows.slice(0, rows.length - (rows.length % batchSize));
  if (groupByLength) {
    rows = chunks(rows, batchSize * sortedTogether).flatMap((part) =>
      part.sort((a, b) => at(lengths, b) - at(lengths, a)),
    );
  }
  const inOrder = chunks(rows, batchSize);
  const order = texts === undefined || !(shuffle || groupByLength) ? inOrder : withoutRepeats(inOrder, texts);
  return shuffle && groupByLength ? shuffled(order, next) : order;
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  const out: Item[][] = [];
  for (let i = 0; i < items.length; i += size) out.push(items.slice(i, i + size));
  return out;
}
