import { internal, PeftError } from "../errors.js";
import type { Rollout } from "../generate/rollouts.js";
import type { Parameter } from "../graph/parameters.js";
import { fnv1a } from "../hash.js";
import type { TrainableModel } from "../peft/trainable.js";
import { at } from "../present.js";
import { random, shuffled } from "../random.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Inputs, TextBatch } from "../trace/feeds.js";
import type { TrainEvent } from "../train/events.js";
import type { StepSource } from "../train/step_source.js";
import { option, words } from "../words.js";
import { type GroupAdvantages, lengthMetrics, type RewardRow, rewardMetrics } from "./group_advantages.js";
import {
  callRewards,
  type PromptText,
  type RewardCalls,
  type RewardFunction,
  rewardNamesOf,
} from "./rewards.js";
import { batchOfAnswers, type Laid, type ScoredAnswer } from "./rollout_batches.js";

/** A prompt to be answered. */
export interface RolloutRow {
  readonly prompt: PromptText;
  readonly ids: readonly number[];
  /** Further columns, for rewards. */
  readonly columns: Readonly<Record<string, unknown>>;
}

/** How answers are sampled and grouped into steps. */
export interface RolloutPlan {
  readonly model: TrainableModel<"CAUSAL_LM">;
  readonly tokenizer: Tokenizer;
  readonly rows: readonly RolloutRow[];
  readonly rewards: readonly RewardFunction[];
  readonly calls: RewardCalls;
  readonly generations: number;
  /** Prompts of a step, and rows of a pass through the model. */
  readonly promptsPerStep: number;
  readonly batchSize: number;
  /** Steps on the same answers. */
  readonly iterations: number;
  readonly maxNewTokens: number;
  readonly sampling: Readonly<Record<"temperature" | "topK" | "topP", number>>;
  readonly rowsAtOnce: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly masksTruncated: boolean;
  /** Steps between answers that are shown; 0: none are. */
  readonly showEvery: number;
  /** Advantages of a step's answers. */
  readonly advantages: (
    rewards: readonly RewardRow[],
    answers: readonly (Rollout & { readonly promptIds: readonly number[] })[],
  ) => Promise<GroupAdvantages & { readonly metrics?: Readonly<Record<string, number>> }>;
  /** Columns of a batch; `all`: the answers of the whole step. */
  readonly columns: (
    batch: TextBatch<"CAUSAL_LM">,
    answers: readonly ScoredAnswer[],
    laid: Laid,
    all: { readonly answers: readonly ScoredAnswer[]; readonly parts: number },
  ) => Promise<NonNullable<TextBatch<"CAUSAL_LM">["columns"]>>;
}

/**
 * Steps over answers that the model gives itself: each epoch goes through all prompts once. Answers are drawn
 * by their numbers, so that a run which is resumed draws those of one without interruption; those of a step
 * that is not done are in checkpoints, where several steps learn from them.
 */
export class RolloutSource implements StepSource {
  readonly size: number;
  readonly epochSize: number;
  readonly stepsPerEpoch: number;
  readonly sizes: StepSource["sizes"];
  readonly identity: Readonly<Record<string, number>>;
  readonly #plan: RolloutPlan;
  #epoch = 0;
  #position = 0;
  #signal: AbortSignal | undefined;
  #answers: readonly ScoredAnswer[] | undefined;
  /** What is to be said behind the next step. */
  #metrics: Readonly<Record<string, number>> = {};
  #shown: TrainEvent[] = [];
  #saidEqual = false;

  constructor(plan: RolloutPlan) {
    const { rows, promptsPerStep, iterations, generations, batchSize, maxNewTokens, seed } = plan;
    this.#plan = plan;
    this.size = rows.length;
    this.stepsPerEpoch = Math.ceil(rows.length / promptsPerStep) * iterations;
    this.epochSize = this.stepsPerEpoch;
    const longest = Math.max(...rows.map(({ ids }) => ids.length));
    this.sizes = { batch: batchSize, seq: longest + maxNewTokens, labels: maxNewTokens };
    const contents = rows.reduce((hash, { ids }) => fnv1a(ids, fnv1a([ids.length], hash)), fnv1a([])) >>> 0;
    this.identity = {
      ...{ batchSize, seed, generations, promptsPerStep, iterations, maxNewTokens },
      ...{ samples: rows.length, contents },
    };
  }

  get epoch(): number {
    return this.#epoch;
  }

  get position(): number {
    return this.#position;
  }

  seek(epoch: number, position: number): void {
    [this.#epoch, this.#position, this.#answers] = [epoch, position, undefined];
  }

  async open(signal: AbortSignal | undefined): Promise<void> {
    this.#signal = signal;
  }

  async *next(): AsyncGenerator<TextBatch<"CAUSAL_LM">> {
    this.#answers ??= await this.#rollOut();
    const all = this.#answers;
    const { batchSize, columns, tokenizer } = this.#plan;
    const parts = Math.ceil(all.length / batchSize);
    for (let part = 0; part < parts; part++) {
      const own = all.slice(part * batchSize, (part + 1) * batchSize);
      const { batch, laid } = batchOfAnswers(own, part * batchSize, tokenizer.padTokenId ?? 0);
      yield { ...batch, columns: await columns(batch, own, laid, { answers: all, parts }) };
    }
    const next = this.#position + 1;
    if (next % this.#plan.iterations === 0) this.#answers = undefined;
    if (next < this.epochSize) this.#position = next;
    else this.seek(this.#epoch + 1, 0);
  }

  /** The prompts of the running step, by their numbers. */
  get #prompts(): number[] {
    const { rows, promptsPerStep, iterations, shuffle, seed } = this.#plan;
    const step = Math.floor(this.#position / iterations);
    const all = [...rows.keys()];
    const order = shuffle ? shuffled(all, random(fnv1a([seed, this.#epoch]))) : all;
    return order.slice(step * promptsPerStep, (step + 1) * promptsPerStep);
  }

  /** The number of the first answer of the running step, in the whole run. */
  get #first(): number {
    const { rows, promptsPerStep, iterations, generations } = this.#plan;
    const step = Math.floor(this.#position / iterations);
    return (this.#epoch * rows.length + step * promptsPerStep) * generations;
  }

  async #rollOut(): Promise<readonly ScoredAnswer[]> {
    const { model, rows, generations, maxNewTokens, sampling, rowsAtOnce, seed } = this.#plan;
    const prompts = this.#prompts.map((i) => at(rows, i));
    const rollouts = await model.rollouts(
      prompts.map(({ ids }) => ids),
      {
        ...{ generations, maxNewTokens, ...sampling, rows: rowsAtOnce, seed, first: this.#first },
        signal: this.#signal,
      },
    );
    const answers = rollouts.map((rollout) => ({ ...rollout, promptIds: at(prompts, rollout.prompt).ids }));
    const texts = this.#plan.tokenizer.batchDecode(
      answers.map(({ ids }) => ids),
      { skipSpecialTokens: true },
    );
    const rewards = await this.#judge(prompts, answers, texts);
    const found = await this.#plan.advantages(rewards, answers);
    this.#say(prompts, answers, texts, rewards, found);
    return answers.map((answer, i) => ({
      ...answer,
      advantage: at(found.advantages, i),
      counts: answer.isEnded || !this.#plan.masksTruncated,
    }));
  }

  #judge(
    prompts: readonly RolloutRow[],
    answers: readonly Rollout[],
    texts: readonly string[],
  ): Promise<RewardRow[]> {
    const names = new Set(prompts.flatMap(({ columns }) => Object.keys(columns)));
    const column = (name: string): unknown[] => answers.map(({ prompt }) => prompts[prompt]?.columns[name]);
    return callRewards(
      this.#plan.rewards,
      answers.map(({ prompt }) => at(prompts, prompt).prompt),
      texts,
      {
        ids: answers.map(({ ids }) => ids),
        columns: Object.fromEntries([...names].map((name) => [name, column(name)])),
        signal: this.#signal,
      },
      this.#plan.calls,
    );
  }

  #say(
    prompts: readonly RolloutRow[],
    answers: readonly Rollout[],
    texts: readonly string[],
    rewards: readonly RewardRow[],
    found: GroupAdvantages & { readonly metrics?: Readonly<Record<string, number>> },
  ): void {
    const { generations, showEvery, iterations } = this.#plan;
    const names = rewardNamesOf(this.#plan.rewards);
    this.#metrics = {
      ...rewardMetrics(rewards, found, names, generations),
      ...lengthMetrics(answers),
      ...found.metrics,
    };
    if (found.equalGroups === prompts.length && !this.#saidEqual) {
      this.#saidEqual = true;
      this.#shown.push({
        type: "warning",
        message:
          "All answers of each prompt got the same reward: this step teaches nothing (frac_reward_zero_std says for how many prompts that is so).",
      });
    }
    const step = this.#epoch * this.stepsPerEpoch + this.#position + 1;
    if (showEvery === 0 || (Math.floor((step - 1) / iterations) * iterations) % showEvery !== 0) return;
    for (const i of extremes(found.totals.slice(0, generations))) {
      const said = Object.fromEntries(names.map((name, k) => [name, rewards[i]?.[k] ?? null]));
      const { prompt } = at(prompts, 0);
      this.#shown.push({
        ...{ type: "sample", step, output: at(texts, i), isCut: !at(answers, i).isEnded, rewards: said },
        prompt: typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? ""),
        ...(typeof prompt !== "string" && { turns: prompt }),
      });
    }
  }

  metrics(): Readonly<Record<string, number>> {
    return this.#metrics;
  }

  says(): readonly TrainEvent[] {
    return this.#shown.splice(0);
  }

  async longestBatch(): Promise<undefined> {
    return undefined;
  }

  whereIs(batch: Inputs): string {
    const rows = "rows" in batch ? batch.rows : undefined;
    return `in the batch of answers ${[...(rows ?? [])].slice(0, 8).map((row) => row + 1)} of this step`;
  }

  /** Answers that further steps learn from, as numbers. */
  state(): readonly Parameter[] {
    const answers = this.#answers;
    if (answers === undefined || this.#position % this.#plan.iterations === 0) return [];
    const table = (name: string, of: (answer: ScoredAnswer) => readonly number[]): Parameter => {
      const width = Math.max(1, ...answers.map((answer) => of(answer).length));
      const data = new Float32Array(answers.length * width).fill(NOTHING);
      for (const [i, answer] of answers.entries()) data.set(of(answer), i * width);
      return { name: `rollout.${name}`, shape: [answers.length, width], data };
    };
    return [
      table("promptIds", ({ promptIds }) => promptIds),
      table("ids", ({ ids }) => ids),
      table("logProbs", ({ logProbs }) => logProbs),
      table("rest", ({ prompt, advantage, counts }) => [prompt, advantage, Number(counts)]),
    ];
  }

  restore(state: readonly Parameter[]): void {
    const table = (name: string): number[][] => {
      const { shape, data } = state.find((one) => one.name === `rollout.${name}`) ?? internal(`no ${name}`);
      const [rows = 0, width = 0] = shape;
      return Array.from({ length: rows }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);
    };
    if (!state.some(({ name }) => name === "rollout.ids")) return;
    const known = (row: readonly number[]): number[] => row.filter((x) => x !== NOTHING);
    const [prompts, ids, logProbs] = [table("promptIds"), table("ids"), table("logProbs")];
    this.#answers = table("rest").map(([prompt = 0, advantage = 0, counts = 0], i) => ({
      ...{ prompt, advantage, counts: counts === 1 },
      promptIds: known(at(prompts, i)),
      ids: known(at(ids, i)),
      logProbs: known(at(logProbs, i)),
    }));
  }
}

/** Where a row of a table has no number. */
const NOTHING = Number.POSITIVE_INFINITY;

/** The places of the largest and the least number. */
function extremes(values: readonly number[]): number[] {
  const known = [...values.keys()].filter((i) => !Number.isNaN(values[i]));
  const sorted = known.sort((a, b) => at(values, b) - at(values, a));
  const [best, worst] = [sorted[0], sorted.at(-1)];
  if (best === undefined || worst === undefined) return [];
  return at(values, best) === at(values, worst) ? [best] : [best, worst];
}

/** A prompt's row: its text or turns, and further columns. */
export type PromptRowLike = string | (Readonly<Record<string, unknown>> & { readonly prompt: PromptText });

/** Prompts with their tokens. Throws "data" for those that leave no room for an answer. */
export function rolloutRows(
  prompts: readonly PromptRowLike[],
  tokenizer: Tokenizer,
  room: number,
): RolloutRow[] {
  const rows = prompts.map((row): RolloutRow => {
    const { prompt, ...columns } = typeof row === "string" ? { prompt: row } : row;
    if (typeof prompt === "string") return { prompt, ids: at(tokenizer([prompt]).inputIds, 0), columns };
    const { inputIds } = tokenizer.applyChatTemplate([...prompt], { addGenerationPrompt: true });
    return { prompt, ids: at(inputIds, 0), columns };
  });
  const [bad] = rows.flatMap(({ ids }, i) => (ids.length === 0 || ids.length > room ? [i] : []));
  if (bad !== undefined || rows.length === 0)
    throw new PeftError("data", {
      what:
        bad === undefined
          ? "There is no prompt."
          : `Prompt ${bad + 1} has ${at(rows, bad).ids.length} tokens.`,
      why: `an answer is sampled behind it: the model has room for prompts of 1 to ${room} tokens.`,
      fix: words`leave it out, shorten it, or set ${option("maxNewTokens")} lower.`,
    });
  return rows;
}
