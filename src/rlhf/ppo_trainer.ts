import { idsOf, textsOf } from "../data/preference/completions.js";
import type { TextOrTurns } from "../data/row.js";
import { internal, PeftError } from "../errors.js";
import { methods } from "../methods/registry.js";
import type { PeftModel } from "../peft/peft_model.js";
import { at } from "../present.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { RunHeader, TrainEvent } from "../train/events.js";
import { Trainer, type TrainerOptions } from "../train/trainer.js";
import { option, words } from "../words.js";
import { type Judge, judgeOf, type PpoOptions } from "./ppo.js";
import { PolicyAndCritic } from "./ppo_model.js";
import { PpoSource } from "./ppo_source.js";
import { callRewards, type RewardFunction } from "./rewards.js";

/** How PPO is run. Defaults are TRL's, where it has them. */
export interface PpoTrainerOptions
  extends PpoOptions,
    Omit<
      TrainerOptions<"CAUSAL_LM">,
      "model" | "train" | "validation" | "loss" | "lossOptions" | "tokenizer"
    > {
  readonly tokenizer: Tokenizer;
  /** What is answered: texts, or turns that the chat template writes. */
  readonly prompts: readonly TextOrTurns[];
  /** What judges answers: the name of a ranker among the model's adapters, or a function. */
  readonly reward: string | RewardFunction;
  /** The adapter that learns to answer. @default the active one */
  readonly policyAdapter?: string | undefined;
  /** The adapter that says what answers will be worth. @default "critic": new, it begins as the ranker */
  readonly criticAdapter?: string | undefined;
  /** Answers of a rollout. @default 8 */
  readonly rolloutSize?: number | undefined;
  /** Times that a rollout is learnt. @default 4 */
  readonly ppoEpochs?: number | undefined;
  /** Optimizer steps of each of these. @default 1 */
  readonly miniBatches?: number | undefined;
  /** Tokens of an answer, at most. @default 53 */
  readonly responseLength?: number | undefined;
  /** Tokens of a prompt; longer ones are left out. @default what the model's positions leave */
  readonly maxPromptLength?: number | undefined;
}

const [RATE, TEMPERATURE] = [3e-6, 0.7];

/**
 * Trains a policy by proximal policy optimization: it answers prompts, a ranker or a function judges, and a
 * critic learns what answers are worth. Policy, critic and ranker are adapters over one base in memory, and
 * the reference is the base without them. Reference: trl/experimental/ppo/ppo_trainer.py
 * @example
 * ```ts
 * import { PPOTrainer } from "peft.js";
 *
 * await model.loadAdapter("ranker", "ranker"); // what `peft reward` wrote, on a base that writes
 * const trainer = new PPOTrainer(model, { tokenizer, prompts: ["Say hello:"], reward: "ranker", outputDir: "ppo" });
 * for await (const event of trainer.run())
 *   if (event.type === "step") console.log(event.metrics?.["objective/scores"]);
 * ```
 */
export class PPOTrainer {
  readonly #trainer: Trainer<"CAUSAL_LM">;

  /** @throws "option" with what is wrong, "adapter-name" */
  constructor(model: PeftModel, options: PpoTrainerOptions) {
    const { tokenizer, prompts, reward, policyAdapter, criticAdapter = "critic", ...others } = options;
    const { rolloutSize = 8, ppoEpochs = 4, miniBatches = 1, responseLength = 53, ...more } = others;
    const { klCoef, klEstimator, gamma, lam, whitenRewards, cliprange, cliprangeValue, vfCoef, ...rest } =
      more;
    const { temperature = TEMPERATURE, missingEosPenalty, maxPromptLength, ...training } = rest;
    const policy = policyAdapter ?? model.activeAdapter.name;
    const ppo = given({ klCoef, klEstimator, gamma, lam, whitenRewards, cliprange, cliprangeValue, vfCoef });
    const settings: PpoOptions = { ...ppo, temperature, missingEosPenalty };
    const ranker = addCritic(model, criticAdapter, typeof reward === "string" ? reward : undefined);
    model.setAdapter(policy);
    const both = new PolicyAndCritic(model, { policy, critic: criticAdapter, ranker }, settings);
    const longest = Math.min(
      maxPromptLength ?? Number.POSITIVE_INFINITY,
      model.maxPositions - responseLength,
    );
    const source = new PpoSource({
      ...{
        model: both,
        ppo: settings,
        judge: judgeBy(model, reward, tokenizer, training.signal),
        ends: endsOf(model, tokenizer),
      },
      ...{
        prompts: encoded(prompts, tokenizer, longest),
        rolloutSize,
        ppoEpochs,
        miniBatches,
        responseLength,
      },
      ...{ batchSize: training.batchSize ?? rolloutSize, seed: training.seed ?? 0, signal: training.signal },
    });
    this.#trainer = new Trainer({ lr: RATE, epochs: 1, ...training, tokenizer, model: both, train: source });
  }

  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }

  /** Trains, and says what happens. A caller who stops reading stops the run. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

/** What was said. */
function given<O extends object>(options: O): Partial<O> {
  const said = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(said) as Partial<O>;
}

/** Adds a critic, where there is none; gives the ranker that it begins as. */
function addCritic(model: PeftModel, name: string, ranker: string | undefined): string | undefined {
  if (model.adapters.has(name)) return undefined;
  const from = ranker === undefined ? undefined : model.adapters.get(ranker);
  const { config } = from ?? {};
  const own =
    config ?? methods.find("lora")?.config.create({ taskType: "SEQ_CLS" }) ?? internal("no method lora");
  model.addAdapter(name, own, { numLabels: 1 });
  return ranker;
}

function endsOf({ base }: PeftModel, { eosTokenId }: Tokenizer): readonly number[] {
  const ends = base.generationConfig.eosTokenId ?? eosTokenId;
  return ends === undefined || ends === null ? [] : [ends].flat();
}

/** A ranker's scores, or what a function says of the texts. */
function judgeBy(
  model: PeftModel,
  reward: string | RewardFunction,
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
): Judge {
  if (typeof reward === "string") return judgeOf({ model, adapter: reward });
  return async (_, episodes) => {
    const textOf = (ids: readonly number[]): string =>
      tokenizer.decode([...ids], { skipSpecialTokens: true });
    const [prompts, completions] = [
      episodes.map(({ prompt }) => textOf(prompt)),
      episodes.map(({ response }) => textOf(response)),
    ];
    const ids = episodes.map(({ response }) => response);
    const said = await callRewards([reward], prompts, completions, { ids, columns: {}, signal });
    return said.map(([score], row) => score ?? noOpinion(at(completions, row)));
  };
}

function noOpinion(answer: string): never {
  throw new PeftError("training", {
    what: `The reward has no opinion of the answer ${JSON.stringify(answer.slice(0, 60))}.`,
    why: "PPO needs a number for each answer: it has no others to compare it with.",
    fix: "return a number in place of null.",
  });
}

/** Prompts as the policy reads them. Throws "data" where none is left. */
function encoded(prompts: readonly TextOrTurns[], tokenizer: Tokenizer, longest: number): number[][] {
  const all = prompts.map((prompt) => {
    const { prompt: text, isChat } = textsOf({ prompt, completions: [] }, tokenizer);
    return idsOf(tokenizer, text, !isChat);
  });
  const fitting = all.filter(({ length }) => length > 0 && length <= longest);
  if (fitting.length > 0) return fitting;
  throw new PeftError("data", {
    what: `None of the ${prompts.length} prompts can be answered.`,
    why:
      prompts.length === 0
        ? "there are none."
        : `they are empty, or longer than ${longest} tokens (the first has ${at(all, 0).length}).`,
    fix: words`give prompts, or raise ${option("maxPromptLength")}.`,
  });
}
