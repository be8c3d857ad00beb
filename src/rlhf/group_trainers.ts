import type { BatchColumn } from "../data/batch.js";
import { PeftError } from "../errors.js";
import { type GrpoLossOptions, grpoLoss } from "../losses/grpo.js";
import type { Loss } from "../losses/loss.js";
import { type RlooLossOptions, rlooLoss } from "../losses/rloo.js";
import type { TrainableModel } from "../peft/trainable.js";
import { at } from "../present.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { TextBatch } from "../trace/feeds.js";
import type { RunHeader, TrainEvent } from "../train/events.js";
import { Trainer, type TrainerOptions } from "../train/trainer.js";
import { option, words } from "../words.js";
import {
  type GroupAdvantageOptions,
  groupAdvantages,
  type LeaveOneOutOptions,
  leaveOneOut,
} from "./group_advantages.js";
import type { RewardFunction } from "./rewards.js";
import { batchOfAnswers, countedTokens, perAnswer, sumsOf } from "./rollout_batches.js";
import { type PromptRowLike, type RolloutPlan, RolloutSource, rolloutRows } from "./rollout_source.js";

/** What training by rewards is told, beside what its loss and its advantages are. */
export interface RolloutTrainerOptions
  extends Omit<
    TrainerOptions<"CAUSAL_LM">,
    "model" | "tokenizer" | "train" | "loss" | "lossOptions" | "validation" | "gradientAccumulationSteps"
  > {
  readonly tokenizer: Tokenizer;
  /** The prompts: texts, or rows with a prompt and further columns, which rewards get. */
  readonly prompts: readonly PromptRowLike[];
  /** Functions that judge answers. */
  readonly rewards: readonly RewardFunction[];
  readonly rewardWeights?: readonly number[] | undefined;
  /** Prompts of a step. @default 8 */
  readonly promptsPerStep?: number | undefined;
  /** Answers to each prompt. @default 8; of RLOO 2 */
  readonly generations?: number | undefined;
  /** Steps that learn from the same answers. @default 1 */
  readonly iterations?: number | undefined;
  /** Tokens of an answer, at most. @default 256 */
  readonly maxNewTokens?: number | undefined;
  /** Scores are divided by it. @default 1 */
  readonly temperature?: number | undefined;
  /** The likeliest tokens that are drawn from; 0: all. @default 0 */
  readonly topK?: number | undefined;
  /** The share of probability that is drawn from. @default 1 */
  readonly topP?: number | undefined;
  /** Answers that are sampled side by side. @default 64 */
  readonly rolloutRows?: number | undefined;
  /** Answers that were cut do not count. @default false */
  readonly maskTruncated?: boolean | undefined;
  /** Seconds that a reward may take, where it waits for something. @default 120 */
  readonly rewardTimeout?: number | undefined;
  /** Rewards that are called at the same time. @default 4 */
  readonly parallelRewards?: number | undefined;
  /** Steps between answers that are shown; 0: none. @default 10 */
  readonly showEvery?: number | undefined;
}

/** What GRPO is told. Names and defaults are TRL's, in camelCase. */
export interface GrpoTrainerOptions
  extends RolloutTrainerOptions,
    Omit<GrpoLossOptions, "isOnPolicy" | "hasSampler" | "rewardsEntropy" | "maxNewTokens" | "temperature">,
    Pick<GroupAdvantageOptions, "scaleRewards" | "normalizeThenSum"> {
  /** How much the mean entropy of tokens is rewarded. @default 0 */
  readonly entropyCoef?: number | undefined;
}

/** What RLOO is told. */
export interface RlooTrainerOptions
  extends RolloutTrainerOptions,
    Omit<RlooLossOptions, "temperature">,
    Pick<LeaveOneOutOptions, "rewardClipRange" | "normalizeAdvantages"> {
  /** What an answer's distance from the reference costs. @default 0.05 */
  readonly beta?: number | undefined;
}

type Batch = TextBatch<"CAUSAL_LM">;

/**
 * Group relative policy optimization (2402.03300): the model answers each prompt several times, rewards judge
 * the answers, and each is learnt by how much better it is than its group. The reference, where beta asks for
 * one, is the base without its adapters. A source of steps of the one Trainer, whose options it takes.
 * Reference: trl/trainer/grpo_trainer.py
 * @example
 * ```ts
 * import { AutoModelForCausalLM, GRPOTrainer, getPeftModel, LoraConfig, type RewardFunction } from "peft.js";
 *
 * const base = await AutoModelForCausalLM.fromPretrained("HuggingFaceTB/SmolLM2-135M");
 * const model = getPeftModel(base, new LoraConfig());
 * const isYes: RewardFunction = (_prompts, answers) => answers.map((text) => Number(text.includes("yes")));
 * const rewards = [isYes];
 * const trainer = new GRPOTrainer(model, { tokenizer, prompts: ["Is it so?"], rewards, maxNewTokens: 8 });
 * for await (const event of trainer.run()) if (event.type === "step") console.log(event.metrics?.reward);
 * ```
 */
export class GRPOTrainer {
  readonly #trainer: Trainer<"CAUSAL_LM">;

  /** @throws "option" with what is wrong, "data" for prompts that leave no room */
  constructor(model: TrainableModel<"CAUSAL_LM">, options: GrpoTrainerOptions) {
    const {
      beta = 0,
      iterations = 1,
      generations = 8,
      temperature = 1,
      entropyCoef = 0,
      epsilon,
      epsilonHigh,
      ...o
    } = options;
    const { loss, delta, level, correctsKl, offPolicyThreshold, topEntropyQuantile, ...others } = o;
    const { sapoTemperatures, vespoPositive, vespoNegative, scaleRewards, normalizeThenSum, ...rest } =
      others;
    const written = grpoLoss(
      said<GrpoLossOptions>({
        ...{ loss, beta, epsilon, epsilonHigh, delta, level, correctsKl, offPolicyThreshold },
        ...{ topEntropyQuantile, sapoTemperatures, vespoPositive, vespoNegative, temperature },
        ...{
          isOnPolicy: iterations === 1,
          maxNewTokens: rest.maxNewTokens,
          rewardsEntropy: entropyCoef !== 0,
        },
      }),
    );
    this.#trainer = trainerOf({ ...rest, model, iterations, generations, temperature }, written, {
      advantages: async (rewards) =>
        groupAdvantages(
          rewards,
          said<GroupAdvantageOptions>({
            ...{ generations, rewardWeights: rest.rewardWeights, scaleRewards, normalizeThenSum },
          }),
        ),
      columns: async (batch, answers, laid, { answers: all, parts }) => ({
        advantages: perAnswer(answers, ({ advantage }) => advantage),
        ...(iterations > 1 && { oldLogProbs: laid(({ logProbs }) => logProbs) }),
        ...(beta !== 0 && { referenceLogProbs: await referenceOf(model, batch, temperature) }),
        windowTokens: single(Math.max(1, countedTokens(all)) / parts),
        ...(entropyCoef !== 0 && { entropyCoef: single(entropyCoef) }),
      }),
    });
  }

  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }

  /** Trains, and says what happens: see Trainer.run. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

/**
 * REINFORCE leave-one-out (2402.14740): an answer is learnt by how much better it is than the others of its
 * group; its distance from the reference, the base without its adapters, is taken off its reward.
 * Reference: trl/trainer/rloo_trainer.py
 */
export class RLOOTrainer {
  readonly #trainer: Trainer<"CAUSAL_LM">;

  /** @throws "option" with what is wrong, "data" for prompts that leave no room */
  constructor(model: TrainableModel<"CAUSAL_LM">, options: RlooTrainerOptions) {
    const { beta = 0.05, generations = 2, temperature = 1, epsilon, epsilonHigh, ...others } = options;
    const { rewardClipRange, normalizeAdvantages, ...rest } = others;
    const { tokenizer, rewardWeights } = rest;
    const written = rlooLoss(said<RlooLossOptions>({ epsilon, epsilonHigh, temperature }));
    this.#trainer = trainerOf({ ...rest, model, generations, temperature }, written, {
      advantages: async (rewards, answers) => {
        const scored = answers.map((answer) => ({ ...answer, advantage: 0, counts: true }));
        const kl =
          beta === 0
            ? undefined
            : await distances(model, tokenizer, scored, rest.batchSize ?? 8, temperature);
        const costs = kl?.map((one) => beta * one);
        const found = leaveOneOut(
          rewards,
          said<LeaveOneOutOptions>({
            generations,
            rewardWeights,
            rewardClipRange,
            normalizeAdvantages,
            costs,
          }),
        );
        const tokens = answers.reduce((n, { ids }) => n + ids.length, 0);
        return { ...found, ...(kl && { metrics: { kl: kl.reduce((a, b) => a + b, 0) / tokens } }) };
      },
      columns: async (_batch, answers, laid) => ({
        rowAdvantages: perAnswer(answers, ({ advantage }) => advantage),
        oldLogProbs: laid(({ logProbs }) => logProbs),
      }),
    });
  }

  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }

  /** Trains, and says what happens: see Trainer.run. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

type Given = Omit<RolloutTrainerOptions, "generations"> & {
  readonly model: TrainableModel<"CAUSAL_LM">;
  readonly generations: number;
};

function trainerOf(
  options: Given,
  loss: Loss,
  parts: Pick<RolloutPlan, "advantages" | "columns">,
): Trainer<"CAUSAL_LM"> {
  const { prompts, rewards, rewardWeights, promptsPerStep = 8, generations, iterations = 1, ...o } = options;
  const {
    maxNewTokens = 256,
    temperature = 1,
    topK = 0,
    topP = 1,
    rolloutRows: rowsAtOnce = 64,
    ...more
  } = o;
  const { maskTruncated = false, rewardTimeout, parallelRewards, showEvery = 10, ...settings } = more;
  const { model, tokenizer, seed = 0, batchSize = 8, shuffle = true } = settings;
  checkCounts({ promptsPerStep, generations, iterations, maxNewTokens, rolloutRows: rowsAtOnce });
  checkRewards(rewards, rewardWeights);
  const source = new RolloutSource({
    ...{ model, tokenizer, rewards, generations, promptsPerStep, batchSize, iterations, maxNewTokens },
    rows: rolloutRows(prompts, tokenizer, model.maxPositions - maxNewTokens),
    calls: { timeout: rewardTimeout, parallel: parallelRewards },
    sampling: { temperature, topK, topP },
    ...{ rowsAtOnce, seed, shuffle, masksTruncated: maskTruncated, showEvery, ...parts },
  });
  return new Trainer({ ...settings, train: source, loss });
}

/** log q of the answers' tokens, by the base without its adapters. */
async function referenceOf(
  model: TrainableModel<"CAUSAL_LM">,
  batch: Batch,
  temperature: number,
): Promise<BatchColumn> {
  const { tokens } = await model.disableAdapter(() => model.logProbs(batch, { temperature }));
  return { data: tokens.data, shape: tokens.shape };
}

/** log p - log q of each answer as a whole. */
async function distances(
  model: TrainableModel<"CAUSAL_LM">,
  tokenizer: Tokenizer,
  answers: Parameters<typeof batchOfAnswers>[0],
  batchSize: number,
  temperature: number,
): Promise<number[]> {
  const found: number[] = [];
  for (let from = 0; from < answers.length; from += batchSize) {
    const own = answers.slice(from, from + batchSize);
    const { batch, laid } = batchOfAnswers(own, from, tokenizer.padTokenId ?? 0);
    const reference = sumsOf(await referenceOf(model, batch, temperature), own.length);
    const policy = sumsOf(
      laid(({ logProbs }) => logProbs),
      own.length,
    );
    found.push(...policy.map((p, i) => p - at(reference, i)));
  }
  return found;
}

const single = (value: number): BatchColumn => ({ data: Float32Array.of(value), shape: [1] });

/** Options of which some are not said. */
function said<T extends object>(options: { readonly [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

function checkCounts(counts: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(counts)) {
    const least = name === "generations" ? 2 : 1;
    if (Number.isInteger(value) && value >= least) continue;
    throw new PeftError("option", {
      what: words`${option(name, value)}.`,
      why:
        least === 2
          ? "an answer is compared with others to its prompt."
          : "it is a whole number of at least 1.",
      fix: words`say ${option(name, 8)}.`,
    });
  }
}

function checkRewards(rewards: readonly RewardFunction[], weights: readonly number[] | undefined): void {
  const fault =
    rewards.length === 0 || rewards.some((reward) => typeof reward !== "function")
      ? words`${option("rewards")} has no function, or something else.`
      : weights !== undefined && weights.length !== rewards.length
        ? words`${option("rewardWeights")} has ${weights.length} numbers for ${rewards.length} rewards.`
        : undefined;
  if (fault === undefined) return;
  throw new PeftError("option", {
    what: fault,
    why: "answers are judged by functions, each with its weight.",
    fix: "write rewards: [(prompts, answers) => answers.map((text) => text.length)].",
  });
}
