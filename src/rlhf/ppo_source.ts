import type { Parameter } from "../graph/parameters.js";
import { fnv1a } from "../hash.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import { at, entry } from "../present.js";
import { random, shuffled } from "../random.js";
import type { Inputs, TextBatch } from "../trace/feeds.js";
import type { StepSource } from "../train/step_source.js";
import type { Table } from "./advantages.js";
import { type Episode, type Experience, NO_TOKEN, ppoBatch } from "./episodes.js";
import { experienceOf, type Judge, type PpoOptions } from "./ppo.js";
import type { PolicyAndCritic } from "./ppo_model.js";

/** How answers are sampled and learnt. */
export interface PpoSourceOptions {
  readonly model: PolicyAndCritic;
  /** Token ids of prompts. */
  readonly prompts: readonly (readonly number[])[];
  readonly judge: Judge;
  /** End tokens. */
  readonly ends: readonly number[];
  readonly ppo: PpoOptions;
  /** Answers of a rollout, one to a prompt. */
  readonly rolloutSize: number;
  /** Times that a rollout is learnt. */
  readonly ppoEpochs: number;
  /** Optimizer steps of each of these. */
  readonly miniBatches: number;
  /** Answers that go through the models at a time. */
  readonly batchSize: number;
  /** Tokens of an answer, at most. */
  readonly responseLength: number;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

/** PPO's steps: a rollout is sampled, judged, and learnt in several steps. Each epoch has its own order. */
export class PpoSource implements StepSource {
  readonly size: number;
  readonly epochSize: number;
  readonly stepsPerEpoch: number;
  readonly sizes: BatchSizes;
  readonly identity: Readonly<Record<string, number>>;
  readonly dropout = false;
  readonly #o: PpoSourceOptions;
  readonly #perRollout: number;
  #epoch = 0;
  #position = 0;
  #experience: Experience | undefined;

  constructor(options: PpoSourceOptions) {
    const { prompts, rolloutSize, ppoEpochs, miniBatches, batchSize, responseLength, seed } = options;
    this.#o = options;
    this.#perRollout = ppoEpochs * miniBatches;
    this.size = prompts.length;
    this.epochSize = Math.ceil(prompts.length / rolloutSize) * this.#perRollout;
    this.stepsPerEpoch = this.epochSize;
    const seq = Math.max(...prompts.map(({ length }) => length)) + responseLength;
    const rows = Math.min(batchSize, Math.ceil(rolloutSize / miniBatches));
    this.sizes = { batch: rows, seq, tokens: rows * seq, labels: responseLength };
    const contents = prompts.reduce((hash, ids) => fnv1a(ids, fnv1a([ids.length], hash)), fnv1a([])) >>> 0;
    const counts = { rolloutSize, ppoEpochs, miniBatches, batchSize, responseLength, seed };
    this.identity = { ...counts, samples: prompts.length, contents };
  }

  get epoch(): number {
    return this.#epoch;
  }
  /** Optimizer steps. */
  get position(): number {
    return this.#position;
  }

  seek(epoch: number, position: number): void {
    [this.#epoch, this.#position] = [epoch, position];
  }

  async *next(): AsyncGenerator<TextBatch<"CAUSAL_LM">> {
    const step = this.#position % this.#perRollout;
    const x = step === 0 || this.#experience === undefined ? await this.#rollOut() : this.#experience;
    for (const rows of this.#batchesOf(x.episodes.length, step)) yield ppoBatch(x, rows);
    this.#position++;
    if (this.#position === this.epochSize) this.seek(this.#epoch + 1, 0);
  }

  /** The number of the rollout that is learnt. */
  get #rollout(): number {
    return Math.floor((this.#epoch * this.epochSize + this.#position) / this.#perRollout);
  }

  /** Rows of the batches of a step: parts of an order that each time of learning has of its own. */
  #batchesOf(count: number, step: number): number[][] {
    const { miniBatches, batchSize, seed } = this.#o;
    const time = Math.floor(step / miniBatches);
    const order = shuffled([...Array(count).keys()], random(seed, 0x9907 + this.#rollout * 64 + time));
    const mini = Math.ceil(count / miniBatches);
    const rows = order.slice((step % miniBatches) * mini, ((step % miniBatches) + 1) * mini);
    const parts = Math.ceil(rows.length / batchSize);
    return Array.from({ length: parts }, (_, i) => rows.slice(i * batchSize, (i + 1) * batchSize));
  }

  async #rollOut(): Promise<Experience> {
    const { model, prompts, judge, ends, ppo, rolloutSize, responseLength, seed, signal } = this.#o;
    const order = shuffled([...prompts.keys()], random(seed, 0x9906 + this.#epoch));
    const first = (this.#rollout * rolloutSize) % (Math.ceil(prompts.length / rolloutSize) * rolloutSize);
    const asked = Array.from({ length: rolloutSize }, (_, i) =>
      at(prompts, at(order, (first + i) % prompts.length)),
    );
    const { policy } = model.parts;
    const answers = await policy.model.rollouts(asked, {
      ...{ adapters: [policy.adapter], maxNewTokens: responseLength, temperature: ppo.temperature ?? 1 },
      ...{ eosTokenId: ends, rows: rolloutSize, seed, first: this.#rollout * rolloutSize, signal },
    });
    const episodes = answers.map(
      ({ prompt, ids }): Episode => ({ prompt: at(asked, prompt), response: ids }),
    );
    const { experience, metrics } = await experienceOf(model.parts, episodes, judge, ends, ppo);
    model.metrics = metrics;
    this.#experience = experience;
    return experience;
  }

  async longestBatch(): Promise<TextBatch<"CAUSAL_LM"> | undefined> {
    const { batch, seq = 1 } = this.sizes;
    const { responseLength: length } = this.#o;
    const nothing = (): Table => Array.from({ length: batch }, () => new Float32Array(length));
    const episode = { prompt: filled(seq - length), response: filled(length) };
    const learnt = { kl: [], rewards: [], advantages: nothing(), returns: nothing(), values: nothing() };
    const rows = [...Array(batch).keys()];
    return ppoBatch(
      {
        ...{ episodes: rows.map(() => episode), frame: { start: seq - length, length } },
        ...{ lastTokens: rows.map(() => length - 1), logProbs: nothing(), learnt },
      },
      rows,
    );
  }

  whereIs(_: Inputs): string {
    return `in rollout ${this.#rollout + 1}`;
  }

  /** The answers that are learnt, with what came of them: the policy that wrote them is no more. */
  state(): readonly Parameter[] {
    if (this.#experience === undefined || this.#position % this.#perRollout === 0) return [];
    const { episodes, frame, lastTokens, logProbs, learnt } = this.#experience;
    const { length } = frame;
    const idsOf = (side: "prompt" | "response", width: number): Float32Array[] =>
      episodes.map((episode) => Float32Array.from({ length: width }, (_, t) => episode[side][t] ?? NO_TOKEN));
    const tables = {
      ...{ prompts: idsOf("prompt", frame.start), responses: idsOf("response", length) },
      ...{ lastTokens: lastTokens.map((last) => Float32Array.of(last)), logProbs },
      ...{ advantages: learnt.advantages, returns: learnt.returns, values: learnt.values },
    };
    return Object.entries(tables).map(([name, table]) => ({
      name,
      shape: [table.length, at(table, 0).length],
      data: Float32Array.from(table.flatMap((row) => [...row])),
    }));
  }

  restore(state: readonly Parameter[]): void {
    this.#experience = undefined;
    if (state.length === 0) return;
    const tables = new Map(state.map((p) => [p.name, tableOf(p)]));
    const idsOf = (name: string): number[][] =>
      entry(tables, name).map((row) => [...row].filter((id) => id !== NO_TOKEN));
    const prompts = idsOf("prompts");
    const responses = idsOf("responses");
    const [first] = entry(tables, "logProbs");
    this.#experience = {
      episodes: prompts.map((prompt, row) => ({ prompt, response: at(responses, row) })),
      frame: { start: entry(tables, "prompts")[0]?.length ?? 0, length: first?.length ?? 0 },
      lastTokens: entry(tables, "lastTokens").map((row) => row[0] ?? 0),
      logProbs: entry(tables, "logProbs"),
      learnt: {
        ...{ kl: [], rewards: [], advantages: entry(tables, "advantages") },
        ...{ returns: entry(tables, "returns"), values: entry(tables, "values") },
      },
    };
  }
}

function filled(length: number): number[] {
  return new Array<number>(length).fill(0);
}

function tableOf({ shape: [rows = 0, width = 0], data }: Parameter): Float32Array[] {
  return Array.from({ length: rows }, (_, row) => data.slice(row * width, (row + 1) * width));
}
