import type { BatchColumn } from "../data/batch.js";
import { orderOf } from "../data/order.js";
import type { CollateOptions } from "../data/padding.js";
import type { CompletionBatch, CompletionRow } from "../data/preference/collate.js";
import { collateRows, mismatched } from "../data/preference/collate.js";
import type { CompletionReport, CompletionSample } from "../data/preference/encode.js";
import { describeCompletions } from "../data/preference/encode.js";
import { PeftError } from "../errors.js";
import type { Parameter } from "../graph/parameters.js";
import { fnv1a } from "../hash.js";
import type { Loss } from "../losses/loss.js";
import type { StepResult, TrainableModel } from "../peft/trainable.js";
import { at } from "../present.js";
import { rowSums } from "../run/log_probs.js";
import type { Inputs } from "../trace/feeds.js";
import { aborted } from "../train/answers.js";
import { meanMetrics } from "../train/step_metrics.js";
import type { SourceEvaluation, StepSource } from "../train/step_source.js";
import { tokenWeights } from "./token_weights.js";

/** What a method of preferences makes of samples. */
export interface PreferenceMethod {
  readonly loss: Loss;
  readonly collate: (samples: readonly CompletionSample[], padding: CollateOptions) => CompletionBatch;
  /** Whether its loss compares with a reference. */
  readonly hasReference: boolean;
  /** Prompts are also asked with the completion of another row (KTO). */
  readonly hasKl?: boolean;
  /** Its loss reads the mean of all rewards so far (BCO). */
  readonly hasRewardsSoFar?: boolean;
  /** What tokens beyond the shorter completion of a pair count (LD-DPO). @default as the others */
  readonly ldAlpha?: number | undefined;
}

/** Where a source's batches come from, and how. */
export interface PreferenceSourceOptions {
  readonly model: TrainableModel;
  readonly method: PreferenceMethod;
  readonly samples: readonly CompletionSample[];
  readonly report: CompletionReport;
  readonly validation: readonly CompletionSample[];
  /** "base": without the adapter; "start": the model as it is when the run begins. */
  readonly reference: "base" | "start";
  readonly batchSize: number;
  readonly gradientAccumulationSteps: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly groupByLength: boolean;
  readonly padding: CollateOptions;
  /** What else is to be known of the rows. */
  readonly warnings: readonly string[];
}

/** Samples with what a reference says of them: a number for each sequence, and for each mismatched one. */
class Referenced {
  readonly samples: readonly CompletionSample[];
  readonly #width: number;
  readonly #kl: readonly CompletionRow[];
  /** [samples, sequences]; undefined: not asked yet */
  sums: Float32Array | undefined;

  constructor(samples: readonly CompletionSample[], { method, batchSize, report }: PreferenceSourceOptions) {
    this.samples = samples;
    this.#kl = method.hasKl
      ? samples.flatMap((_, i) =>
          i % batchSize === 0 ? mismatched(samples.slice(i, i + batchSize), report.maxLength) : [],
        )
      : [];
    this.#width = (samples[0]?.sequences.length ?? 0) + Number(method.hasKl ?? false);
  }

  get shape(): readonly [number, number] {
    return [this.samples.length, this.#width];
  }

  /** Mismatched rows of some samples. */
  mismatchedOf(places: readonly number[]): readonly CompletionRow[] {
    return places.map((place) => at(this.#kl, place));
  }

  /** Of some samples, their sequence of this number; the last one is the mismatched row's. */
  of(places: readonly number[], sequence: number): number[] {
    const { sums } = this;
    if (sums === undefined) throw notAsked();
    return places.map((place) => at(sums, place * this.#width + sequence));
  }

  /** Asks the reference, batch by batch, of samples in their order. */
  async ask(
    source: PreferenceBatches,
    log: (batch: CompletionBatch) => Promise<Float32Array>,
  ): Promise<void> {
    const [count, width] = this.shape;
    const sums = new Float32Array(count * width);
    for (const places of source.inOrder(count)) {
      const own = await log(source.plain(this.samples, places));
      const each = own.length / places.length;
      for (const [i, place] of places.entries())
        for (let k = 0; k < each; k++) sums[place * width + k] = at(own, k * places.length + i);
      if (this.#kl.length === 0) continue;
      const other = await log(source.collateRows(this.mismatchedOf(places)));
      for (const [i, place] of places.entries()) sums[place * width + width - 1] = at(other, i);
    }
    this.sums = sums;
  }
}

/** How samples become batches, wherever they are used. */
class PreferenceBatches {
  readonly options: PreferenceSourceOptions;
  constructor(options: PreferenceSourceOptions) {
    this.options = options;
  }

  inOrder(count: number): number[][] {
    const { batchSize } = this.options;
    const starts = Array.from({ length: Math.ceil(count / batchSize) }, (_, i) => i * batchSize);
    return starts.map((start) =>
      Array.from({ length: Math.min(batchSize, count - start) }, (_, i) => start + i),
    );
  }

  plain(samples: readonly CompletionSample[], places: readonly number[]): CompletionBatch {
    const { method, padding } = this.options;
    const batch = method.collate(
      places.map((place) => at(samples, place)),
      padding,
    );
    return method.ldAlpha === undefined
      ? batch
      : { ...batch, columns: { ...batch.columns, logProbWeights: tokenWeights(batch, method.ldAlpha) } };
  }

  collateRows(rows: readonly CompletionRow[]): CompletionBatch {
    return collateRows(rows, this.options.padding);
  }
}

/** Steps over pairs or judged rows, with what their reference says of them stored beside them. */
export class PreferenceSource implements StepSource {
  readonly size: number;
  readonly epochSize: number;
  readonly stepsPerEpoch: number;
  readonly sizes: StepSource["sizes"];
  readonly identity: Readonly<Record<string, number>>;
  readonly dropout = false;
  readonly warnings: readonly string[];
  readonly validationSize: number;
  readonly evaluate?: (signal: AbortSignal | undefined) => Promise<SourceEvaluation>;
  readonly #batches: PreferenceBatches;
  readonly #train: Referenced;
  readonly #validation: Referenced;
  /** Mean of the rewards so far, and how many they are. */
  #soFar: readonly [mean: number, count: number] = [0, 0];
  #epoch = 0;
  #position = 0;

  constructor(options: PreferenceSourceOptions) {
    const { samples, validation, batchSize, gradientAccumulationSteps, seed, shuffle, groupByLength } =
      options;
    const told = describeCompletions(options.report);
    this.warnings = [...(told === undefined ? [] : [told]), ...options.warnings];
    this.#batches = new PreferenceBatches(options);
    this.#train = new Referenced(samples, options);
    this.#validation = new Referenced(validation, options);
    this.size = samples.length;
    this.epochSize = Math.ceil(samples.length / batchSize);
    this.stepsPerEpoch = Math.ceil(this.epochSize / gradientAccumulationSteps);
    this.sizes = sizesOf(samples, batchSize);
    this.validationSize = validation.length;
    this.identity = {
      ...{ batchSize, gradientAccumulationSteps, seed, samples: samples.length },
      ...{ shuffle: Number(shuffle), groupByLength: Number(groupByLength), contents: digest(samples) },
    };
    if (validation.length > 0) this.evaluate = (signal) => this.#evaluate(signal);
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Batches. */
  get position(): number {
    return this.#position;
  }

  seek(epoch: number, position: number): void {
    [this.#epoch, this.#position] = [epoch, position];
  }

  async open(signal: AbortSignal | undefined): Promise<void> {
    const { method, model, reference } = this.#batches.options;
    if (!method.hasReference) return;
    const log = async (batch: CompletionBatch): Promise<Float32Array> => {
      if (signal?.aborted) throw aborted();
      const { tokens } =
        reference === "start"
          ? await model.logProbs(batch)
          : await model.disableAdapter(() => model.logProbs(batch));
      const weights = batch.columns["logProbWeights"]?.data;
      return rowSums(tokens, weights instanceof Float32Array ? weights : undefined);
    };
    for (const part of [this.#train, this.#validation])
      if (part.sums === undefined && part.samples.length > 0) await part.ask(this.#batches, log);
  }

  /** The last step of an epoch may have fewer batches than others. */
  async *next(): AsyncGenerator<Inputs> {
    const { options } = this.#batches;
    const lengths = options.samples.map(lengthOf);
    const order = orderOf(lengths, this.#epoch, options);
    const count = Math.min(options.gradientAccumulationSteps, this.epochSize - this.#position);
    for (let i = 0; i < count; i++) yield await this.#batch(this.#train, at(order, this.#position + i));
    this.#position += count;
    if (this.#position === this.epochSize) this.seek(this.#epoch + 1, 0);
  }

  async longestBatch(): Promise<Inputs | undefined> {
    const { samples, batchSize } = this.#batches.options;
    const order = samples
      .map((_, i) => i)
      .sort((a, b) => lengthOf(at(samples, b)) - lengthOf(at(samples, a)));
    return order.length === 0 ? undefined : await this.#batch(this.#train, order.slice(0, batchSize));
  }

  hear(batch: Inputs, { metrics }: Pick<StepResult, "metrics">): void {
    if (!this.#batches.options.method.hasRewardsSoFar) return;
    const rows = batch.columns?.["desirable"]?.data.length ?? 0;
    this.#soFar = [metrics?.["delta"] ?? 0, this.#soFar[1] + rows];
  }

  state(): readonly Parameter[] {
    const tensor = (name: string, data: Float32Array, shape: readonly number[]): Parameter => ({
      name,
      data,
      shape,
    });
    const sums = { train: this.#train, validation: this.#validation };
    return [
      ...Object.entries(sums).flatMap(([name, { sums, shape }]) =>
        sums === undefined ? [] : [tensor(`reference.${name}`, sums, shape)],
      ),
      tensor("rewardsSoFar", Float32Array.from(this.#soFar), [2]),
    ];
  }

  restore(state: readonly Parameter[]): void {
    for (const { name, data } of state) {
      if (name === "reference.train") this.#train.sums = data;
      if (
        name === "reference.validation" &&
        data.length === this.#validation.shape[0] * this.#validation.shape[1]
      )
        this.#validation.sums = data;
      if (name === "rewardsSoFar") this.#soFar = [data[0] ?? 0, data[1] ?? 0];
    }
  }

  whereIs({ rows }: Inputs): string {
    const { samples } = this.#batches.options;
    const named = new Map(samples.map(({ row, at }) => [row, at]));
    const all = [...new Set(rows)].map((row) => named.get(row) ?? `row ${row + 1}`);
    return `in the batch of ${all.slice(0, 8).join(", ")}${all.length > 8 ? ", ..." : ""}`;
  }

  /** A batch with all that its loss reads. */
  async #batch(from: Referenced, places: readonly number[]): Promise<Inputs> {
    const { method } = this.#batches.options;
    const batch = this.#batches.plain(from.samples, places);
    const columns: Record<string, BatchColumn> = {};
    const of = (name: string, values: readonly number[]): void => {
      columns[name] = { data: Float32Array.from(values), shape: [values.length] };
    };
    if (method.hasReference) {
      const sequences = batch.inputIds.shape[0] / places.length;
      of("referenceLogProbs", Array.from({ length: sequences }, (_, k) => from.of(places, k)).flat());
    }
    if (method.hasKl) of("kl", [await this.#kl(from, places)]);
    if (method.hasRewardsSoFar) of("rewardsSoFar", this.#soFar);
    return { ...batch, columns: { ...batch.columns, ...columns } } as Inputs;
  }

  /** How far the policy is from its reference on completions of other prompts; never below 0. */
  async #kl(from: Referenced, places: readonly number[]): Promise<number> {
    const { sums } = await this.#batches.options.model.logProbs(
      this.#batches.collateRows(from.mismatchedOf(places)),
    );
    const reference = from.of(places, from.shape[1] - 1);
    return Math.max(0, sums.reduce((total, p, i) => total + p - at(reference, i), 0) / sums.length);
  }

  async #evaluate(signal: AbortSignal | undefined): Promise<SourceEvaluation> {
    const { model, method } = this.#batches.options;
    const results: StepResult[] = [];
    for (const places of this.#batches.inOrder(this.validationSize)) {
      if (signal?.aborted) throw aborted();
      results.push(await model.lossOf(await this.#batch(this.#validation, places), { loss: method.loss }));
    }
    const total = results.reduce((n, { count }) => n + count, 0);
    const loss = results.reduce((sum, { loss, count }) => sum + loss * count, 0) / total;
    return { loss, metrics: meanMetrics(results) ?? {} };
  }
}

function lengthOf({ sequences }: CompletionSample): number {
  return sequences.reduce((n, { ids, target = [] }) => Math.max(n, ids.length + target.length), 0);
}

function sizesOf(samples: readonly CompletionSample[], batchSize: number): StepSource["sizes"] {
  const sequences = samples.flatMap((sample) => sample.sequences);
  const most = (of: (s: (typeof sequences)[number]) => number): number =>
    sequences.reduce((n, s) => Math.max(n, of(s)), 0);
  const rows = Math.min(batchSize, samples.length) * (samples[0]?.sequences.length ?? 1);
  const seq = most(({ ids }) => ids.length);
  const target = most(({ target = [] }) => target.length);
  const labels = most(({ ids, start }) => ids.length - start);
  return { batch: rows, seq, tokens: rows * seq, ...(target > 0 ? { target } : { labels }) };
}

/** FNV-1a over all token ids: tells a changed data set from the same one. */
function digest(samples: readonly CompletionSample[]): number {
  let hash = fnv1a([]);
  for (const { ids, start, target = [] } of samples.flatMap(({ sequences }) => sequences))
    hash = fnv1a([...ids, ...target], fnv1a([ids.length, start], hash));
  return hash >>> 0;
}

function notAsked(): PeftError {
  return new PeftError("training", {
    what: "The reference was not asked before the first step.",
    why: "the loss compares with what it says of each row.",
    fix: "call open() of the source first; the Trainer does.",
  });
}
