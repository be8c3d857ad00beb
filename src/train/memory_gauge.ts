import type { TrainableModel } from "../peft/trainable.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import { sizeText } from "../plan/memory/sizes.js";
import { anonymousMemory, memoryUse } from "../run/memory_use.js";
import { option, type Words, words } from "../words.js";

/** Share of a limit that is worth a word. */
const NEAR = 0.95;

/** What a run takes: anonymous memory, and what was touched of mapped weights (see docs/memory.md). */
export class MemoryGauge {
  readonly #runtime: TrainableModel["base"]["runtime"];
  readonly #sizes: BatchSizes;
  #mapped = 0;
  #hasWarned = false;
  /** Bytes. */
  now = 0;
  peak = 0;

  /** @param sizes - of the longest batch */
  constructor({ base }: TrainableModel, sizes: BatchSizes) {
    this.#runtime = base.runtime;
    this.#sizes = sizes;
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

  /** Bytes that the run may take, where that was said. */
  get limit(): number | undefined {
    return this.#runtime.memoryLimit;
  }

  /** Said once, when a limit is nearly reached. */
  warning(): Words | undefined {
    const { limit } = this;
    if (this.#hasWarned || limit === undefined || this.now < NEAR * limit) return undefined;
    this.#hasWarned = true;
    return words`memory is at ${sizeText(this.now)} of the ${sizeText(limit)} that it may take (${option("maxMemory")}); ${this.#advice()}`;
  }

  /** Before the run: more is expected than there is. */
  expectation(): Words | undefined {
    const { memoryEstimate, memoryFree } = this.#runtime;
    if (memoryEstimate === undefined || memoryEstimate.bytes <= memoryFree) return undefined;
    return words`${sizeText(memoryEstimate.bytes)} of memory are expected for the longest batch, and ${sizeText(memoryFree)} are free; ${this.#advice()}`;
  }

  #advice(): Words {
    const { seq, batch } = this.#sizes;
    const smaller = batch > 1 ? words` or a smaller batch (${option("batchSize")}; now ${batch})` : "";
    if (seq === undefined) return words`less to a row${smaller} would take less`;
    return words`shorter rows (${option("maxLength")}; the longest has ${seq} tokens)${smaller} would take less`;
  }
}
