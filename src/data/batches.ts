import { expectArgument, type NamesOf, pickOptions, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import type { Batch, TaskType } from "./batch.js";
import { textKeys } from "./distinct.js";
import {
  type EncodedRows,
  type EncodeReport,
  type EncodeRowsOptions,
  encodeRows,
  encodeRowsNames,
} from "./encode.js";
import { MediaBatches, type MediaOptions, mediaNames, seedOfEpoch } from "./media.js";
import { noTokenizer } from "./no_tokenizer.js";
import type { OrderOptions } from "./order.js";
import { orderNames, orderOf } from "./order.js";
import { type CollateOptions, collateNames } from "./padding.js";
import { expectRows, type Row } from "./row.js";
import { RowStream } from "./row_stream.js";
import { lengthOf, type Sample } from "./sample.js";
import { epochBatches } from "./stream_batches.js";
import type { TokenizerLike } from "./types.js";

/** How rows become batches. */
export interface BatchesOptions<T extends TaskType>
  extends OrderOptions,
    Omit<EncodeRowsOptions<T>, "task" | "vocabSize" | "tokenizer">,
    MediaOptions {
  /** The model's own. @default none, for a model that reads no text */
  tokenizer?: TokenizerLike | undefined;
  /** The model that the batches are for: a PreTrainedModel, a PeftModel. */
  model: {
    readonly taskType: T;
    readonly config: { readonly vocabSize: number; readonly numLabels?: number | undefined };
  };
  /** Where padding stands. @default the tokenizer's own side */
  paddingSide?: "left" | "right" | undefined;
  /** Lengths of batches are multiples of this, in tokens. @default 1 */
  padToMultipleOf?: number | undefined;
}

const { task: _task, vocabSize: _size, ...encodedNames } = encodeRowsNames;
const batchesNames: NamesOf<BatchesOptions<TaskType>> = {
  ...orderNames,
  ...encodedNames,
  ...mediaNames,
  model: {},
  paddingSide: {},
  padToMultipleOf: {},
};

/**
 * Batches in the order of training, and what is known about them beforehand. It can be walked more than once.
 */
export interface Batches<T extends TaskType> extends AsyncIterable<Batch<T>> {
  /** The rows as they were encoded. */
  readonly samples: readonly Sample<T>[];
  readonly batchesPerEpoch: number;
  /** Batches of all epochs. */
  readonly total: number;
  /** What encoding did to the rows. */
  readonly report: EncodeReport;
}

/**
 * Encodes the rows at once, so that every fault in them is an error before work starts, and gives their
 * batches for all epochs. The same seed and rows give the same batches on every machine. Rows that are
 * streamed are encoded as they come: their batches can be walked, and nothing is known of them beforehand.
 * @throws "data" as `encodeRows` does, "option"
 * @example
 * ```ts
 * import { batches, loadDataset } from "peft.js";
 *
 * const rows = await loadDataset("tweets.csv", { template: "Tweet text : {text} Label : ", target: "{label}" });
 * for await (const batch of batches(rows, { tokenizer, model, batchSize: 8, epochs: 3, seed: 0 })) {
 *   console.log((await model.forward(batch)).loss);
 * }
 * ```
 */
export function batches<T extends TaskType>(rows: readonly Row[], options: BatchesOptions<T>): Batches<T>;
export function batches<T extends TaskType>(
  rows: RowStream,
  options: BatchesOptions<T>,
): AsyncIterable<Batch<T>>;
export function batches<T extends TaskType>(
  rows: readonly Row[] | RowStream,
  options: BatchesOptions<T>,
): Batches<T> | AsyncIterable<Batch<T>> {
  refuseUnknown("batches", options, batchesNames);
  if (!(rows instanceof RowStream)) expectRows("batches", rows);
  expectArgument("batches({ model })", options.model, {
    is: options.model?.config !== undefined && options.model.taskType !== undefined,
    wants: "a model",
    fix: "give the model that the batches are for: batches(rows, { tokenizer, model }).",
  });
  const { tokenizer = noTokenizer, model, paddingSide = tokenizer.paddingSide, padToMultipleOf } = options;
  const { vocabSize, numLabels } = model.config;
  const encode = (some: readonly Row[]): EncodedRows<T> =>
    encodeRows(some, {
      numLabels,
      ...pickOptions(options, encodedNames),
      tokenizer,
      task: model.taskType,
      vocabSize,
    });
  const padding = { padTokenId: padTokenOf(tokenizer), paddingSide, padToMultipleOf };
  if (rows instanceof RowStream) return batchesOfStream(rows, encode, padding, options);
  const { samples, report } = encode(rows);
  return { ...batchesOf(samples, { ...options, ...padding }, new MediaBatches(options)), report };
}

function batchesOfStream<T extends TaskType>(
  rows: RowStream,
  encode: (rows: readonly Row[]) => EncodedRows<T>,
  padding: CollateOptions,
  options: BatchesOptions<T>,
): AsyncIterable<Batch<T>> {
  const { epochs = 1, startAt = 0, batchSize = 8, shuffleWindow = 1, emptyLabels } = options;
  checkCounts({ epochs, batchSize, shuffleWindow }, 1);
  checkCounts({ startAt }, 0);
  const media = new MediaBatches(options);
  async function* walk(): AsyncGenerator<Batch<T>> {
    const skip = { batches: startAt };
    const drops = emptyLabels === "drop" || options.packing === true;
    for (let epoch = 0; epoch < epochs; epoch++)
      for await (const { batch } of epochBatches(rows, epoch, {
        ...options,
        skip,
        encode,
        drops,
        padding,
        media,
      }))
        yield batch;
  }
  return { [Symbol.asyncIterator]: walk };
}

/** Any id will do where the tokenizer has none for padding: masks come from lengths. */
export function padTokenOf(tokenizer: TokenizerLike): number {
  return tokenizer.padTokenId ?? tokenizer.eosTokenId ?? 0;
}

/** As `batches`, of samples that are encoded already. */
export function batchesOf<T extends TaskType>(
  samples: readonly Sample<T>[],
  options: OrderOptions & CollateOptions,
  media: MediaBatches = new MediaBatches({}),
): Omit<Batches<T>, "report"> {
  const { epochs = 1, startAt = 0, batchSize = 8, dropLast = false } = options;
  checkCounts({ epochs, batchSize }, 1);
  checkCounts({ startAt }, 0);
  const whole = dropLast ? Math.floor(samples.length / batchSize) : Math.ceil(samples.length / batchSize);
  if (whole === 0) throw noBatch(samples.length, batchSize);
  const lengths = samples.map(lengthOf);
  const texts = textKeys(samples);
  const padding = pickOptions(options, collateNames);
  async function* walk(): AsyncGenerator<Batch<T>> {
    for (let epoch = Math.floor(startAt / whole); epoch < epochs; epoch++) {
      const order = orderOf(lengths, epoch, options, texts);
      const first = Math.max(0, startAt - epoch * whole);
      const lists = order.slice(first).map((rows) => rows.map((row) => at(samples, row)));
      yield* media.of(lists, padding, seedOfEpoch(options.seed ?? 0, epoch));
    }
  }
  return { samples, batchesPerEpoch: whole, total: whole * epochs, [Symbol.asyncIterator]: walk };
}

function checkCounts(options: Record<string, number>, least: number): void {
  for (const [name, value] of Object.entries(options)) {
    if (Number.isInteger(value) && value >= least) continue;
    throw new PeftError("option", {
      what: words`${option(name)} is ${value}.`,
      why: `it must be a whole number, ${least} or more.`,
      fix: words`give for example ${option(name, name === "batchSize" ? 8 : least)}.`,
    });
  }
}

function noBatch(samples: number, batchSize: number): PeftError {
  return new PeftError("data", {
    what: `${samples} samples make no batch of ${batchSize}.`,
    why: words`${option("dropLast")} leaves out a batch that is not full.`,
    fix: words`use a ${option("batchSize")} of at most ${samples}, or ${option("dropLast", false)}.`,
  });
}
