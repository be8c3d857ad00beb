import { jointCompletions } from "../data/preference/completions.js";
import type { PeftModel } from "../peft/peft_model.js";
import { at } from "../present.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { type Episode, frameOf, rankedRows, rowsOfEpisodes } from "./episodes.js";
import { judgeOf } from "./ppo.js";
import type { RewardFunction } from "./rewards.js";

/** Who ranks answers. */
export interface RankerRewardOptions {
  /** The name of a ranker among the model's adapters. @default "ranker" */
  readonly adapter?: string | undefined;
  /** What wrote the rows that it learnt. */
  readonly tokenizer: Tokenizer;
  /** Answers that are ranked at a time. @default 8 */
  readonly batchSize?: number | undefined;
}

/**
 * What a reward model says of answers: an adapter beside the policy's, over the same base in memory. Prompts
 * and answers are written as in its training.
 * @example
 * ```ts
 * import { GRPOTrainer, PeftModel, rankerReward } from "peft.js";
 *
 * declare const policy: PeftModel<"CAUSAL_LM">;
 * const ranker = await PeftModel.fromPretrained(policy.base, "ranker"); // what `peft reward` wrote
 * const rewards = [rankerReward(ranker, { adapter: "default", tokenizer })];
 * const trainer = new GRPOTrainer(policy, { tokenizer, prompts: ["Say hello:"], rewards });
 * for await (const event of trainer.run()) if (event.type === "step") console.log(event.metrics?.reward);
 * ```
 */
export function rankerReward(
  model: PeftModel,
  { adapter = "ranker", tokenizer, batchSize = 8 }: RankerRewardOptions,
): RewardFunction {
  const judge = judgeOf({ model, adapter });
  const reward: RewardFunction = async (prompts, answers) => {
    const episodes = answers.map((answer, i): Episode => {
      const asked = { prompt: at(prompts, i), completions: [answer] };
      const { prompt, completions } = jointCompletions(asked, tokenizer);
      return { prompt, response: at(completions, 0) };
    });
    const scores: number[] = [];
    for (let from = 0; from < episodes.length; from += batchSize) {
      const own = episodes.slice(from, from + batchSize);
      scores.push(...(await judge(rankedRows(rowsOfEpisodes(own, frameOf(own))), own)));
    }
    return scores;
  };
  return Object.defineProperty(reward, "name", { value: adapter });
}
