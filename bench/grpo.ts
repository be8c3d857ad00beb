import { LoraConfig } from "../src/methods/index.js";
import type { LoadOptions } from "../src/peft/base_model.js";
import { PreTrainedModel } from "../src/peft/base_model.js";
import { getPeftModel } from "../src/peft/get_peft_model.js";
import { below, random } from "../src/random.js";
import { numericReward } from "../src/rlhf/built_in_rewards.js";
import { GRPOTrainer } from "../src/rlhf/group_trainers.js";
import { AutoTokenizer } from "../src/tokenizers/auto.js";
import { runReference } from "./python.js";

export interface GrpoBench {
  readonly folder: string;
  readonly steps: number;
  readonly seed: number;
  readonly load: LoadOptions;
  readonly skipPython: boolean;
}

/** Prompts of a step, answers to each, and tokens of an answer at most. */
const [PROMPTS, ANSWERS, TOKENS] = [8, 8, 32];

/** GRPO on sums of two numbers, and how fast answers are sampled beside transformers' generate. */
export async function benchGrpo(o: GrpoBench): Promise<void> {
  const base = await PreTrainedModel.load("CAUSAL_LM", o.folder, o.load);
  const tokenizer = await AutoTokenizer.fromPretrained(o.folder);
  const model = getPeftModel(base, new LoraConfig({ r: 16, targetModules: "all-linear" }), { seed: o.seed });
  const next = random(o.seed);
  const prompts = Array.from({ length: 64 * PROMPTS }, () => {
    const [a, b] = [1 + below(next, 9), 1 + below(next, 9)];
    return { prompt: `1 + 2 = 3\n4 + 5 = 9\n${a} + ${b} =`, answer: a + b };
  });
  const ids = prompts.slice(0, PROMPTS).map(({ prompt }) => tokenizer.encode(prompt));
  const sampling = { generations: ANSWERS, maxNewTokens: TOKENS, seed: o.seed };
  await model.rollouts(ids, { ...sampling, maxNewTokens: 2 });
  const start = performance.now();
  const answers = await model.rollouts(ids, { ...sampling, eosTokenId: [] });
  const seconds = (performance.now() - start) / 1000;
  const count = answers.reduce((n, answer) => n + answer.ids.length, 0);
  console.log(
    `peft.js: ${count} tokens in ${seconds.toFixed(1)} s, ${(count / seconds).toFixed(0)} tokens/s`,
  );
  if (!o.skipPython) {
    const args = [
      o.folder,
      "--prompts",
      JSON.stringify(ids),
      "--answers",
      `${ANSWERS}`,
      "--new",
      `${TOKENS}`,
    ];
    const found = await runReference("reference_rollouts.py", args);
    if (found !== undefined) {
      const theirs = Number(found.json["tokens_per_second"]);
      console.log(
        `transformers: ${theirs.toFixed(0)} tokens/s; ratio ${(count / seconds / theirs).toFixed(2)}`,
      );
    }
  }
  const trainer = new GRPOTrainer(model, {
    ...{
      tokenizer,
      prompts,
      rewards: [numericReward()],
      promptsPerStep: PROMPTS,
      generations: ANSWERS,
    },
    ...{
      maxNewTokens: TOKENS,
      maxSteps: o.steps,
      lr: 1e-4,
      schedule: "constant",
      seed: o.seed,
      batchSize: 16,
    },
  });
  for await (const event of trainer.run())
    if (event.type === "step") {
      const reward = event.metrics?.["reward"]?.toFixed(3);
      console.log(`step ${event.step}: reward ${reward}, ${event.secondsLeft.toFixed(0)} s left`);
    }
  await model.close();
}
