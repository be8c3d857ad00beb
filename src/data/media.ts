import type { NamesOf } from "../arguments.js";
import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { warnOnConsole } from "../printable.js";
import { ColumnWorkers } from "../processors/column_workers.js";
import type { MediaRequest } from "../processors/columns.js";
import type { RandomChange, RowProcessor } from "../processors/media.js";
import { checkImage } from "../processors/pictures/image_source.js";
import { mix } from "../random.js";
import { option, words } from "../words.js";
import type { Batch, TaskType } from "./batch.js";
import { collate } from "./collate.js";
import { count, type Fault, listNames, refuse } from "./faults.js";
import type { RowOptions } from "./load_options.js";
import type { CollateOptions } from "./padding.js";
import type { PictureRow, Row } from "./row.js";
import type { Sample } from "./sample.js";

// Rows that refer to pictures or sound: their columns are made when their batch is (processors/columns.ts).

/** How columns of batches are made of what rows refer to. */
export interface MediaOptions {
  /** The model's own, for rows of pictures or of sound. @default rows are text */
  processor?: RowProcessor | undefined;
  /**
   * Threads that read and resize beside the training; 0: that is done in between. The batches are the same
   * whatever their number. @default 1
   */
  workers?: number | undefined;
  /** Random changes of rows in training, by row and epoch. @default none */
  augmentation?: readonly string[] | undefined;
  /** Leave out of their batches rows that cannot be read, and count them. @default false */
  skipBad?: boolean | undefined;
}

export const mediaNames: NamesOf<MediaOptions> = {
  processor: { also: ["imageProcessor", "featureExtractor"] },
  workers: { python: "dataloader_num_workers" },
  augmentation: { also: ["transforms", "augment"] },
  skipBad: {},
};

/** The default number of threads. */
const WORKERS = 1;

/** Makes batches of samples whose columns may have to be made, a few ahead of whoever takes them. */
export class MediaBatches {
  readonly #processor: RowProcessor | undefined;
  readonly #workers: ColumnWorkers;
  readonly #ahead: number;
  readonly #augmentation: readonly string[];
  readonly #skipBad: boolean;
  /** What was left out, by where it stood. */
  readonly skipped: Set<string> = new Set();

  /** @throws "option" for changes that the processor does not know */
  constructor({ processor, workers = WORKERS, augmentation = [], skipBad = false }: MediaOptions) {
    this.#processor = processor;
    this.#workers = new ColumnWorkers(workers);
    this.#ahead = workers + 1;
    this.#augmentation = augmentation;
    this.#skipBad = skipBad;
    const unknown = augmentation.filter((name) => !processor?.augmentations?.includes(name));
    if (unknown.length === 0) return;
    const known = processor?.augmentations ?? [];
    throw new PeftError("option", {
      what: words`${option("augmentation")} names ${listNames(unknown, true)}.`,
      why: known.length === 0 ? "these rows cannot be changed at random." : `known are ${known.join(", ")}.`,
      fix: words`${known.length === 0 ? "leave it out" : words`give for example ${option("augmentation", known.slice(0, 2))}`}.`,
    });
  }

  /**
   * Batches of these samples, in their order.
   * @param seedOf what an epoch's random changes are drawn by; undefined: nothing changes
   */
  async *of<T extends TaskType>(
    lists: Iterable<readonly Sample<T>[]>,
    padding: CollateOptions,
    seed: number | undefined,
  ): AsyncGenerator<Batch<T>> {
    const waiting: Promise<Batch<T> | undefined>[] = [];
    try {
      for (const samples of lists) {
        const made = this.make(samples, padding, seed);
        made.catch(() => {}); // it is heard when its turn has come
        waiting.push(made);
        if (waiting.length > this.#ahead) yield* given(await waiting.shift());
      }
      while (waiting.length > 0) yield* given(await waiting.shift());
    } finally {
      waiting.splice(0);
    }
  }

  /** One batch; undefined where all of its rows were left out. Throws "data" for what cannot be read. */
  async make<T extends TaskType>(
    samples: readonly Sample<T>[],
    padding: CollateOptions,
    seed: number | undefined,
  ): Promise<Batch<T> | undefined> {
    if (!samples.some((sample) => this.#isRead(sample))) return collate(samples, padding);
    const { columns, skipped } = await this.#workers.make(this.#request(samples, seed));
    for (const { says } of skipped) this.skipped.add(says);
    const isBad = new Set(skipped.map(({ index }) => index));
    const kept = isBad.size === 0 ? samples : samples.filter((_, i) => !isBad.has(i));
    if (kept.length === 0) return undefined;
    const { inputIds, attentionMask, ...rest } = collate(kept, padding);
    const text = inputIds.shape[1] === 0 ? {} : { inputIds, attentionMask };
    return { ...text, ...rest, columns: { ...rest.columns, ...columns } } as unknown as Batch<T>;
  }

  /** Pages have words too: a model without a processor reads these alone. */
  #isRead(sample: Sample): boolean {
    return this.#processor === undefined ? isMediaAlone(sample) : sample.media !== undefined;
  }

  #request(samples: readonly Sample[], seed: number | undefined): MediaRequest {
    if (this.#processor === undefined) throw noProcessor(at(samples, 0).at);
    const references = samples.map(({ media, at }) => ({ source: media, at }));
    const augmentation = this.#augmentation;
    const changeOf = ({ row }: Sample): RandomChange => ({
      augmentation,
      key: mix((seed ?? 0) ^ mix(row + 1)),
    });
    const changes = seed === undefined || augmentation.length === 0 ? undefined : samples.map(changeOf);
    return { ...this.#processor.job, references, changes, bad: this.#skipBad ? "skip" : "error" };
  }
}

function* given<Item>(item: Item | undefined): Generator<Item> {
  if (item !== undefined) yield item;
}

/** What an epoch's random changes are drawn by. */
export function seedOfEpoch(seed: number, epoch: number): number {
  return mix(mix(seed) + epoch);
}

/** Throws "option" where samples refer to pictures or sound and nothing says how these become numbers. */
export function expectProcessor(samples: readonly Sample[], { processor }: MediaOptions): void {
  const found = processor === undefined ? samples.find(isMediaAlone) : undefined;
  if (found !== undefined) throw noProcessor(found.at);
}

function isMediaAlone({ media, inputIds }: Sample): boolean {
  return media !== undefined && inputIds.length === 0;
}

function noProcessor(where: string): PeftError {
  return new PeftError("option", {
    what: words`${where} is no text, and there is no ${option("processor")}.`,
    why: "how pictures and sound become numbers stands in the model's preprocessor_config.json.",
    fix: words`load it with AutoImageProcessor or AutoFeatureExtractor, and give it as ${option("processor")}.`,
  });
}

/** Files whose headers are read at a time. */
const TOGETHER = 8;

/**
 * Rows without those whose pictures are not there or say of themselves that they are none: their headers are
 * read, not their pixels. Throws "data" with all of them, unless they shall be skipped.
 */
export async function readableRows(rows: readonly Row[], options: RowOptions): Promise<Row[]> {
  const faults = new Map<Row, Fault>();
  const pictures = rows.filter((row): row is PictureRow => row.kind === "picture");
  for (let i = 0; i < pictures.length; i += TOGETHER)
    await Promise.all(
      pictures.slice(i, i + TOGETHER).map(async (row) => {
        try {
          await checkImage(row.image);
        } catch (error) {
          if (!(error instanceof PeftError) || error.code === "internal") throw error;
          if (error.fix.includes("npm i")) throw error;
          faults.set(row, { at: row.at, says: error.what });
        }
      }),
    );
  // in the order of the rows, whichever file answered first
  const bad = pictures.flatMap((row) => faults.get(row) ?? []);
  if (options.skipBad !== true)
    refuse(bad, {
      what: (n) => `${count(n, "picture")} cannot be read`,
      why: "a file is missing, damaged, no picture, or too large.",
      fix: words`replace them, or leave them out: ${option("skipBad", true)}.`,
    });
  else if (bad[0] !== undefined)
    (options.warn ?? warnOnConsole)(
      `Left out ${count(bad.length, "picture")} that cannot be read, the first at ${bad[0].at}.`,
    );
  return rows.filter((row) => !faults.has(row));
}
