import type { Batch, TaskType } from "../data/batch.js";
import { padTokenOf } from "../data/batches.js";
import type { EncodeReport } from "../data/encode.js";
import { MediaBatches } from "../data/media.js";
import { noTokenizer } from "../data/no_tokenizer.js";
import type { Row } from "../data/row.js";
import type { RowStream } from "../data/row_stream.js";
import type { Sample } from "../data/sample.js";
import { type EpochOptions, epochBatches, type PlacedBatch } from "../data/stream_batches.js";
import { dataTaskOf } from "../data/tasks/registry.js";
import { PeftError } from "../errors.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import { option, words } from "../words.js";
import { encodeFor } from "./evaluate.js";
import { digest, longestSamples } from "./row_source.js";
import type { StepSource } from "./step_source.js";
import type { Settings } from "./trainer_options.js";

/** Steps over rows that are streamed: memory holds the first of them and a window. */
export class StreamSource implements StepSource {
  readonly size: number;
  readonly epochSize: number;
  readonly stepsPerEpoch: number;
  readonly sizes: BatchSizes;
  readonly identity: Readonly<Record<string, number>>;
  /** The first rows, which stand for the others where some are looked at beforehand. */
  readonly first: readonly Row[];
  readonly samples: readonly Sample[];
  readonly report: EncodeReport;
  readonly #rows: RowStream;
  readonly #settings: Settings;
  readonly #isReplayable: boolean;
  readonly #media: MediaBatches;
  #epoch = 0;
  #position = 0;
  /** What is left of the epoch's batches, with the next of them. */
  #rest: Rest | undefined;
  #isRead = false;
  /** The places of the last batch's rows. */
  readonly #places = new WeakMap<Batch, readonly string[]>();

  private constructor(rows: RowStream, s: Settings, known: Known) {
    const { batchSize, gradientAccumulationSteps, seed, shuffle, groupByLength, shuffleWindow, maxSteps } = s;
    const { first, samples, report, count, isReplayable } = known;
    this.#rows = rows;
    this.#settings = s;
    this.#isReplayable = isReplayable;
    this.#media = new MediaBatches(s);
    this.first = first;
    this.samples = samples;
    this.report = report;
    this.size = count ?? (maxSteps ?? 1) * gradientAccumulationSteps * batchSize;
    this.epochSize = Math.ceil(this.size / batchSize);
    this.stepsPerEpoch = Math.ceil(this.epochSize / gradientAccumulationSteps);
    this.sizes = sizesOf(samples, report.maxLength, s);
    this.identity = {
      batchSize,
      gradientAccumulationSteps,
      seed,
      shuffle: Number(shuffle),
      groupByLength: Number(groupByLength),
      shuffleWindow,
      samples: count ?? -1,
      contents: digest(samples),
    };
  }

  /**
   * Reads the first rows, and counts all where `maxSteps` does not say how long the run is. Throws "data",
   * "option".
   */
  static async open(rows: RowStream, s: Settings): Promise<StreamSource> {
    const { first, isReplayable } = await rows.open();
    if (s.maxSteps === undefined && (!isReplayable || s.packing)) throw unknownLength(s.packing);
    const { samples, report } = encodeFor(s.model, first, s);
    const count = s.maxSteps === undefined ? await rows.count() : undefined;
    return new StreamSource(rows, s, { first, samples, report, isReplayable, count });
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
    if (!this.#isReplayable && epoch + position > 0 && !this.#isRead) throw cannotResume();
    [this.#epoch, this.#position, this.#rest] = [epoch, position, undefined];
  }

  /** The last step of an epoch may have fewer batches than others. */
  async *next(): AsyncGenerator<Batch> {
    const rest = this.#rest ?? (await this.#begin());
    this.#rest = undefined; // a step that breaks off is begun anew
    const { gradientAccumulationSteps } = this.#settings;
    let count = 0;
    for (; count < gradientAccumulationSteps && rest.next !== undefined; count++) {
      const { batch, at } = rest.next;
      this.#places.set(batch, at);
      yield batch;
      rest.next = await after(rest.batches);
    }
    if (rest.next === undefined) return this.seek(this.#epoch + 1, 0);
    this.#position += count;
    this.#rest = rest;
  }

  async #begin(): Promise<Rest> {
    if (!this.#isReplayable && this.#epoch > 0) throw endedEarly(this.#epoch, this.#settings);
    this.#isRead = true;
    const { tokenizer = noTokenizer, emptyLabels, packing } = this.#settings;
    const options: EpochOptions<TaskType> = {
      ...this.#settings,
      encode: (rows) => encodeFor(this.#settings.model, rows, this.#settings),
      drops: emptyLabels === "drop" || packing,
      padding: { padTokenId: padTokenOf(tokenizer), paddingSide: tokenizer.paddingSide },
      skip: { batches: this.#position },
      media: this.#media,
    };
    const batches = epochBatches(this.#rows, this.#epoch, options);
    const next = await after(batches);
    if (next === undefined) throw changed(this.#epoch, this.#position);
    return { batches, next };
  }

  async longestBatch(): Promise<Batch | undefined> {
    const { tokenizer = noTokenizer, batchSize } = this.#settings;
    const rows = longestSamples(this.samples, batchSize);
    const padding = { padTokenId: padTokenOf(tokenizer), paddingSide: tokenizer.paddingSide };
    return rows.length === 0 ? undefined : this.#media.make(rows, padding, undefined);
  }

  whereIs(batch: Batch): string {
    const at = this.#places.get(batch) ?? [];
    return `in the batch of ${at.slice(0, 8).join(", ")}${at.length > 8 ? ", ..." : ""}`;
  }
}

interface Known {
  readonly first: readonly Row[];
  readonly samples: readonly Sample[];
  readonly report: EncodeReport;
  readonly count: number | undefined;
  readonly isReplayable: boolean;
}

interface Rest {
  readonly batches: AsyncGenerator<PlacedBatch<TaskType>>;
  next: PlacedBatch<TaskType> | undefined;
}

async function after(batches: Rest["batches"]): Promise<Rest["next"]> {
  const { done, value } = await batches.next();
  return done ? undefined : value;
}

/** Rows that are not read yet may be as long as rows can be. */
function sizesOf(samples: readonly Sample[], maxLength: number, s: Settings): BatchSizes {
  const { batchSize, maxTargetLength = maxLength } = s;
  const [sample] = samples;
  const task = sample === undefined ? undefined : dataTaskOf(sample.task);
  return {
    batch: batchSize,
    seq: maxLength,
    tokens: batchSize * maxLength,
    ...(task?.target === undefined ? {} : { target: maxTargetLength }),
    ...(task?.labelled === undefined ? {} : { labels: maxLength }),
  };
}

const giveFunction = "give a function that opens the rows anew: rowsFrom(() => open(), { ... }).";

function unknownLength(packing: boolean): PeftError {
  return new PeftError("option", {
    what: words`Rows that ${packing ? words`are streamed and packed (${option("packing")})` : "can be read only once"}, and no ${option("maxSteps")}.`,
    why: "the number of samples is not known before they are read, so nobody can say how long the run is.",
    fix: words`say how many steps it has (${option("maxSteps", 1000)}), or ${giveFunction}`,
  });
}

function cannotResume(): PeftError {
  return new PeftError("option", {
    what: words`A run over rows that can be read only once cannot ${option("resume")}.`,
    why: "the rows that it has seen already would have to be read again, to be passed over.",
    fix: giveFunction,
  });
}

function endedEarly(epochs: number, { maxSteps }: Settings): PeftError {
  return new PeftError("data", {
    what: words`The rows ended before the ${maxSteps} steps of ${option("maxSteps")} were done.`,
    why: `they can be read only once, and were read to their end${epochs > 1 ? " more than once" : ""}.`,
    fix: words`set ${option("maxSteps")} to what the rows give, or ${giveFunction}`,
  });
}

function changed(epoch: number, position: number): PeftError {
  return new PeftError("data", {
    what: `The rows of epoch ${epoch + 1} end before batch ${position + 1}.`,
    why: "there were more of them when they were read before: what gives them has changed.",
    fix: "give the same rows whenever they are read.",
  });
}
