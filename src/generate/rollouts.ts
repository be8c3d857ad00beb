import { at } from "../present.js";
import type { Decoding } from "./resolve.js";
import type { Rule } from "./rule.js";
import { checkAbort } from "./run.js";
import { drawToken } from "./sample.js";
import type { PromptReads, RowSource, RowStepper } from "./stepper.js";

/** An answer that was sampled. */
export interface Rollout {
  /** Which of the prompts it answers, and which of its answers it is. */
  readonly prompt: number;
  readonly copy: number;
  /** The answer's tokens, its end token included. */
  readonly ids: number[];
  /** log p of each, of scores / temperature, before any other rule of sampling. */
  readonly logProbs: number[];
  /** Whether it ended by itself; else it was cut. */
  readonly isEnded: boolean;
}

/** Everything that sampling works with. */
export interface RolloutRun {
  readonly stepper: RowStepper;
  readonly decoding: Pick<Decoding, "eos" | "temperature" | "promptLength">;
  /** Rules behind the temperature: top-k and such. */
  readonly rules: readonly Rule[];
  /** Tokens of each prompt. */
  readonly prompts: readonly (readonly number[])[];
  /** Answers to each prompt. */
  readonly generations: number;
  readonly maxNewTokens: number;
  /** Rows that run at a time. */
  readonly rows: number;
  readonly seed: number;
  /** The number of the first answer, by which its random numbers are drawn. */
  readonly first: number;
  readonly signal: AbortSignal | undefined;
  /** Hears of each answer when it is there. */
  readonly onRollout: ((rollout: Rollout) => void) | undefined;
}

/** Some prompts that were read, and how many of their answers have not begun. */
interface Group {
  readonly reads: PromptReads;
  waiting: number;
}

/** What is sampled in one row of the batch. */
interface Sampling {
  readonly prompt: number;
  readonly copy: number;
  readonly ids: number[];
  readonly logProbs: number[];
}

/** A new row goes in when so large a part of the batch has ended: caches are laid anew for each. */
const VACANT = 1 / 8;
/** Without new rows, the batch shrinks when so large a part of it has ended. */
const SHRINK = 1 / 4;

/**
 * Answers to prompts, several to each: a prompt is read once for all of them, and rows that ended leave the
 * batch for those that wait. What is drawn depends on the seed, the answer's number and its tokens so far,
 * not on the rows beside it. In the order of prompts and copies.
 */
export async function sampleRollouts(run: RolloutRun): Promise<Rollout[]> {
  const sampler = new Sampler(run);
  try {
    return await sampler.all();
  } finally {
    await run.stepper.end();
  }
}

class Sampler {
  readonly #run: RolloutRun;
  readonly #scratch: Float32Array;
  /** By the answers' numbers. */
  readonly #answers: Rollout[] = [];
  /** Rows of the batch; undefined: it has ended. */
  #rows: (Sampling | undefined)[] = [];
  /** Answers that have begun. */
  #begun = 0;
  /** Tokens drawn so far. */
  #tokens = 0;
  readonly #groups: Map<number, { readonly group: Group; readonly index: number }> = new Map();

  constructor(run: RolloutRun) {
    this.#run = run;
    this.#scratch = new Float32Array(run.stepper.vocabSize);
  }

  get #total(): number {
    return this.#run.prompts.length * this.#run.generations;
  }

  get #live(): number {
    return this.#rows.filter((row) => row !== undefined).length;
  }

  async all(): Promise<Rollout[]> {
    for (;;) {
      checkAbort(this.#run, this.#run.decoding.promptLength + this.#tokens);
      const entering = await this.#begin();
      const sources = this.#arrange(entering);
      if (this.#live === 0 && this.#begun === this.#total) return this.#answers;
      if (this.#live === 0) continue;
      const tokens = Int32Array.from(this.#rows, (row) => row?.ids.at(-1) ?? 0);
      const scores = await this.#run.stepper.continue(tokens, sources);
      await this.#forget();
      const { vocabSize } = this.#run.stepper;
      for (const [i, row] of this.#rows.entries())
        if (row !== undefined && this.#extend(row, scores.subarray(i * vocabSize, (i + 1) * vocabSize)))
          this.#rows[i] = undefined;
    }
  }

  /** Begins answers for which the batch has room, each with its first token. */
  async #begin(): Promise<{ readonly row: Sampling; readonly source: RowSource }[]> {
    const { rows, generations } = this.#run;
    const room = rows - this.#live;
    const left = this.#total - this.#begun;
    if (left === 0 || (this.#live > 0 && room < Math.max(1, rows * VACANT))) return [];
    const entering: { row: Sampling; source: RowSource }[] = [];
    while (entering.length < room && this.#begun < this.#total) {
      const number = this.#begun;
      const [prompt, copy] = [Math.floor(number / generations), number % generations];
      const { group, index } = this.#groups.get(prompt) ?? (await this.#read(prompt, room - entering.length));
      this.#begun++;
      group.waiting--;
      const row = { prompt, copy, ids: [], logProbs: [] };
      const { vocabSize } = this.#run.stepper;
      const scores = group.reads.scores.subarray(index * vocabSize, (index + 1) * vocabSize);
      if (!this.#extend(row, scores)) entering.push({ row, source: { read: group.reads, index } });
    }
    return entering;
  }

  /** Reads a prompt, and those behind it that begin at the same time. */
  async #read(prompt: number, room: number): Promise<{ group: Group; index: number }> {
    const { prompts, generations, stepper } = this.#run;
    const count = Math.min(prompts.length - prompt, Math.max(1, Math.ceil(room / generations)));
    const all = Array.from({ length: count }, (_, i) => prompt + i);
    const { length } = at(prompts, prompt);
    const together = stepper.padsPrompts
      ? all
      : all.slice(
          0,
          runOf(all, (p) => at(prompts, p).length === length),
        );
    const reads = await stepper.read(together);
    const group = { reads, waiting: together.length * generations };
    for (const [index, p] of together.entries()) this.#groups.set(p, { group, index });
    return { group, index: 0 };
  }

  /** Releases prompts whose answers have all begun. */
  async #forget(): Promise<void> {
    const done = new Set<Group>();
    for (const [prompt, { group }] of this.#groups) {
      if (group.waiting > 0) continue;
      done.add(group);
      this.#groups.delete(prompt);
    }
    for (const { reads } of done) await this.#run.stepper.forget(reads);
  }

  /** Puts new rows where others ended. Undefined: all rows stay. */
  #arrange(
    entering: readonly { readonly row: Sampling; readonly source: RowSource }[],
  ): RowSource[] | undefined {
    const ended = this.#rows.length - this.#live;
    const isLast = this.#begun === this.#total;
    const left = ended - entering.length;
    const shrinks = isLast && left > 0 && left >= this.#rows.length * SHRINK;
    if (entering.length === 0 && !shrinks) return undefined;
    const waiting = [...entering];
    const next: { row: Sampling | undefined; source: RowSource }[] = [];
    for (const [i, row] of this.#rows.entries()) {
      const other = row === undefined ? waiting.shift() : undefined;
      if (row !== undefined) next.push({ row, source: { row: i } });
      else if (other !== undefined) next.push(other);
      else if (!shrinks) next.push({ row: undefined, source: { row: i } });
    }
    next.push(...waiting);
    this.#rows = next.map(({ row }) => row);
    return next.map(({ source }) => source);
  }

  /** Draws a row's next token. Returns whether it ended. */
  #extend(row: Sampling, scores: Float32Array): boolean {
    const { decoding, rules, seed, first, generations, maxNewTokens, onRollout } = this.#run;
    const number = row.prompt * generations + row.copy;
    const step = row.ids.length;
    const drawn = drawToken(scores, decoding.temperature, rules, this.#scratch, {
      seed,
      row: first + number,
      step,
    });
    this.#tokens++;
    row.ids.push(drawn.token);
    row.logProbs.push(drawn.logProb);
    const isEnded = decoding.eos.includes(drawn.token);
    if (!isEnded && row.ids.length < maxNewTokens) return false;
    const rollout = { ...row, isEnded };
    this.#answers[number] = rollout;
    onRollout?.(rollout);
    return true;
  }
}

/** How many of the first satisfy it. */
function runOf<T>(items: readonly T[], test: (item: T) => boolean): number {
  const end = items.findIndex((item) => !test(item));
  return end < 0 ? items.length : end;
}
