import type { Verb } from "./options.js";

/** `peft reward`: as `peft train`, pairs are learnt by a head of one label. */
export const rewardAs = (train: Verb): Verb => ({
  ...train,
  name: "reward",
  summary: "Train a reward model on pairs of a better and a worse answer: peft train --task SEQ_CLS.",
  examples: [
    "peft reward --model HuggingFaceTB/SmolLM2-135M --data pairs.jsonl --output ranker",
    "peft reward --model HuggingFaceTB/SmolLM2-135M --data pairs.jsonl --loss reward --loss-options centerRewardsCoefficient=0.01 --output ranker",
  ],
  run: (settings, terminal) => {
    const isSaid = settings.isGiven("task");
    const asTrain = [...settings.argv, ...(isSaid ? [] : ["--task", "SEQ_CLS"])];
    const learning = settings.isGiven("lr") ? [] : [["lr", 1e-4] as const];
    const task = isSaid ? [] : [["task", "SEQ_CLS"] as const];
    return train.run(settings.with(new Map<string, unknown>([...task, ...learning]), asTrain), terminal);
  },
});
