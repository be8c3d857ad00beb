import type { Batch } from "../data/batch.js";
import { type Batches, batchesOf, padTokenOf } from "../data/batches.js";
import { MediaBatches } from "../data/media.js";
import { noTokenizer } from "../data/no_tokenizer.js";
import type { OrderOptions } from "../data/order.js";
import type { CollateOptions } from "../data/padding.js";
import type { Row } from "../data/row.js";
import { lengthOf, type Sample, sequencesOf } from "../data/sample.js";
import { dataTaskOf } from "../data/tasks/registry.js";
import { fnv1a } from "../hash.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { RowProcessor } from "../processors/media.js";
import type { StepSource } from "./step_source.js";
import type { Settings } from "./trainer_options.js";

/** Steps over rows: every epoch is all of them once, in an order of its own. */
export class RowSource implements StepSource {
  readonly size: number;
  readonly epochSize: number;
  readonly stepsPerEpoch: number;
  readonly sizes: BatchSizes;
  readonly identity: Readonly<Record<string, number>>;
  readonly #rows: readonly Row[];
  readonly #samples: readonly Sample[];
  /** Batches of one step. */
  readonly #accumulated: number;
  readonly #options: OrderOptions & CollateOptions & { readonly batchSize: number };
  readonly #media: MediaBatches;
  #epoch = 0;
  #position = 0;
  /** What is left of the epoch's batches, from `position` on. */
  #rest: AsyncIterator<Batch> | undefined;

  constructor(s: Settings, samples: readonly Sample[]) {
    const { batchSize, gradientAccumulationSteps, seed, shuffle, groupByLength } = s;
    const { tokenizer = noTokenizer, processor } = s;
    const padding = { padTokenId: padTokenOf(tokenizer), paddingSide: tokenizer.paddingSide };
    this.size = samples.length;
    this.epochSize = Math.ceil(samples.length / batchSize);
    this.stepsPerEpoch = Math.ceil(this.epochSize / gradientAccumulationSteps);
    this.sizes = sizesOf(samples, batchSize, processor);
    this.identity = {
      batchSize,
      gradientAccumulationSteps,
      seed,
      shuffle: Number(shuffle),
      groupByLength: Number(groupByLength),
      samples: samples.length,
      contents: digest(samples),
    };
    this.#rows = s.train;
    this.#samples = samples;
    this.#accumulated = gradientAccumulationSteps;
    this.#media = new MediaBatches(s);
    this.#options = { batchSize, seed, shuffle, groupByLength, ...padding };
  }

  get skipped(): ReadonlySet<string> {
    return this.#media.skipped;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Batches. */
  get position(): number {
    return this.#position;
  }

  seek(epoch: number, position: number): void {
    [this.#epoch, this.#position, this.#rest] = [epoch, position, undefined];
  }

  /** The last step of an epoch may have fewer batches than others. */
  async *next(): AsyncGenerator<Batch> {
    const rest = this.#rest ?? this.#batches()[Symbol.asyncIterator]();
    this.#rest = undefined; // a step that breaks off is begun anew
    const count = Math.min(this.#accumulated, this.epochSize - this.#position);
    for (let i = 0; i < count; i++) yield (await rest.next()).value;
    if (this.#position + count === this.epochSize) return this.seek(this.#epoch + 1, 0);
    this.#position += count;
    this.#rest = rest;
  }

  #batches(): Omit<Batches<Sample["task"]>, "report"> {
    const epochs = this.#epoch + 1;
    const startAt = this.#epoch * this.epochSize + this.#position;
    return batchesOf(this.#samples, { ...this.#options, epochs, startAt }, this.#media);
  }

  async longestBatch(): Promise<Batch | undefined> {
    const { batchSize } = this.#options;
    const rows = longestSamples(this.#samples, batchSize);
    if (rows.length === 0) return undefined;
    const inOrder = { ...this.#options, shuffle: false, groupByLength: false };
    for await (const batch of batchesOf(rows, inOrder, this.#media)) return batch;
    return undefined;
  }

  whereIs({ rows }: Batch): string {
    const at = [...rows].slice(0, 8).map((row) => this.#rows[row]!.at);
    return `in the batch of ${at.join(", ")}${rows.length > 8 ? ", ..." : ""}`;
  }
}

/** As many of the longest samples as a batch has; none where there is nothing to learn in them. */
export function longestSamples(samples: readonly Sample[], batchSize: number): readonly Sample[] {
  const longest = samples.toSorted((a, b) => tokensOf(b) - tokensOf(a)).slice(0, batchSize);
  return longest.some(isLabelled) ? longest : [];
}

/** Sizes of the largest batch that there can be: of as many of the longest rows as a batch has. */
export function sizesOf(
  samples: readonly Sample[],
  batchSize: number,
  processor?: RowProcessor | undefined,
): BatchSizes {
  const longest = (of: (sample: Sample) => number): number =>
    samples.reduce((n, sample) => Math.max(n, of(sample)), 0);
  const target = longest((sample) => dataTaskOf(sample.task).target?.(sample).length ?? 0);
  const labels = longest((sample) => dataTaskOf(sample.task).labelled?.(sample) ?? 0);
  const texts = lengthsOfLongest(samples, batchSize);
  return {
    batch: texts.length,
    seq: longest(lengthOf),
    tokens: texts.reduce((a, b) => a + b, 0),
    ...(target > 0 ? { target } : {}),
    ...(labels > 0 ? { labels } : {}),
    ...(processor?.dims && { dims: processor.dims }),
  };
}

/** Tokens of each text of as many rows as a batch has: as many texts as rows can have, the longest ones. */
function lengthsOfLongest(samples: readonly Sample[], batchSize: number): readonly number[] {
  const lengths = samples.flatMap((sample) => sequencesOf(sample).map(({ inputIds }) => inputIds.length));
  const counts = samples.map((sample) => sequencesOf(sample).length).sort((a, b) => b - a);
  const texts = counts.slice(0, batchSize).reduce((a, b) => a + b, 0);
  return lengths.sort((a, b) => b - a).slice(0, texts);
}

function tokensOf(sample: Sample): number {
  return (
    sequencesOf(sample).reduce((n, { inputIds }) => n + inputIds.length, 0) + (labelsOf(sample)?.length ?? 0)
  );
}

/** Numbers to be met, and marks of classes, all count; of classes and tokens those that are not masked. */
function isLabelled(sample: Sample): boolean {
  const labels = labelsOf(sample);
  return !(labels instanceof Int32Array) || labels.some((label) => label >= 0);
}

function labelsOf(sample: Sample): Int32Array | Float32Array | undefined {
  return "labels" in sample ? sample.labels : undefined;
}

/** FNV-1a over all token ids: tells a changed data set from the same one. */
export function digest(samples: readonly Sample[]): number {
  let hash = fnv1a([]);
  for (const { inputIds } of samples.flatMap((sample) => sequencesOf(sample)))
    hash = fnv1a(inputIds, fnv1a([inputIds.length], hash));
  return hash >>> 0;
}
