import type { Batch } from "../data/batch.js";
import { batchesOf, padTokenOf } from "../data/batches.js";
import type { Sample } from "../data/sample.js";
import { sizeText } from "../plan/memory/sizes.js";
import { anonymousMemory, memoryUse } from "../run/memory_use.js";
import { baseOf } from "./model.js";
import type { Settings } from "./trainer_options.js";

/** Share of a limit that is worth a word. */
const NEAR = 0.95;

/** What a run takes: anonymous memory, and what was touched of mapped weights (see docs/memory.md). */
export class MemoryGauge {
  readonly #settings: Settings;
  readonly #samples: readonly Sample[];
  #mapped = 0;
  #hasWarned = false;
  /** Bytes. */
  now = 0;
  peak = 0;

  constructor(settings: Settings, samples: readonly Sample[]) {
    this.#settings = settings;
    this.#samples = samples;
  }

  /** `whole`: mapped weights are looked at anew, which takes milliseconds. */
  async read(whole = false): Promise<void> {
    const { anonymous, mapped } = whole
      ? await memoryUse()
      : { anonymous: await anonymousMemory(), mapped: this.#mapped };
    this.#mapped = mapped;
    this.now = anonymous + mapped;
    this.peak = Math.max(this.peak, this.now);
  }

  /**
   * The longest batch that may come, where a limit was set: a pass over it before the first step takes what the whole run will, so
   * that a limit which does not hold shows then. Undefined: no limit, or these rows have nothing to learn.
   */
  async longestBatch(): Promise<Batch | undefined> {
    const { batchSize, tokenizer, model } = this.#settings;
    if (baseOf(model).runtime.memoryLimit === undefined) return undefined;
    const rows = this.#samples.toSorted((a, b) => tokensOf(b) - tokensOf(a)).slice(0, batchSize);
    if (!rows.some(isLabelled)) return undefined;
    const padding = { padTokenId: padTokenOf(tokenizer), paddingSide: tokenizer.paddingSide };
    for await (const batch of batchesOf(rows, { ...padding, batchSize, shuffle: false })) return batch;
    return undefined;
  }

  /** Said once, when a limit is nearly reached. */
  warning(): string | undefined {
    const limit = baseOf(this.#settings.model).runtime.memoryLimit;
    if (this.#hasWarned || limit === undefined || this.now < NEAR * limit) return undefined;
    this.#hasWarned = true;
    return `memory is at ${sizeText(this.now)} of the ${sizeText(limit)} that it may take (maxMemory); ${this.#advice()}`;
  }

  /** Before the run: more is expected than there is. */
  expectation(): string | undefined {
    const { memoryEstimate, memoryFree } = baseOf(this.#settings.model).runtime;
    if (memoryEstimate === undefined || memoryEstimate.bytes <= memoryFree) return undefined;
    return `${sizeText(memoryEstimate.bytes)} of memory are expected for the longest batch, and ${sizeText(memoryFree)} are free; ${this.#advice()}`;
  }

  #advice(): string {
    const seq = this.#samples.reduce((n, { inputIds }) => Math.max(n, inputIds.length), 0);
    const { batchSize } = this.#settings;
    const smaller = batchSize > 1 ? ` or a smaller batch (--batch-size, batchSize; now ${batchSize})` : "";
    return `shorter rows (--max-length, maxLength; the longest has ${seq} tokens)${smaller} would take less`;
  }
}

function tokensOf(sample: Sample): number {
  return sample.inputIds.length + ("labels" in sample ? sample.labels.length : 0);
}

function isLabelled(sample: Sample): boolean {
  if (sample.task === "SEQ_CLS") return true;
  return !("labels" in sample) || sample.labels.some((label) => label >= 0);
}
