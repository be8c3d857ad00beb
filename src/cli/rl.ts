import {
  GRPO_LOSSES,
  GRPOTrainer,
  type GrpoTrainerOptions,
  PeftError,
  PeftModel,
  PPOTrainer,
  type PromptRowLike,
  type RewardFunction,
  RLOOTrainer,
  type RlooTrainerOptions,
  type RolloutTrainerOptions,
  rankerReward,
} from "../index.js";
import { option, words } from "../words.js";
import { noTokenizer } from "./model.js";
import { groupsWithout, type Option, type Settings, type Verb } from "./options.js";
import { readPrompts } from "./prompts.js";
import { readRewards, rewardOption } from "./rewards.js";
import type { Terminal } from "./terminal.js";
import type { Learning, TrainOne } from "./train.js";

/** Options of `peft train` that mean nothing where a model learns from its own answers. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  ...["task", "validation", "validationSplit", "test", "streaming", "sweep", "addTokens", "skipBad"],
  ...["maxLength", "maxTargetLength", "pooling", "normalize", "target", "text", "pair", "label", "columns"],
  ...["messages", "lossColumns", "labels", "kind", "problemType", "raw", "language", "speechTask"],
  ...["loss", "lossOptions", "packing", "emptyLabels", "truncationSide", "neftuneNoiseAlpha", "workers"],
  ...["augmentation", "groupByLength", "shuffleWindow", "gradientAccumulationSteps", "evaluateEvery"],
  ...["evaluateOnStart", "generate", "bestMetric", "earlyStopping", "samples"],
]);

const numeric =
  (kind: "number" | "whole") =>
  (key: string, help: string, otherwise: number | string, python?: string): Option => ({
    ...{ key, help, kind, otherwise: `${otherwise}` },
    ...(python !== undefined && { python }),
  });
const number = numeric("number");
const whole = numeric("whole");
const flag = (key: string, help: string, python?: string): Option => ({
  ...{ key, help, kind: "flag" },
  ...(python !== undefined && { python }),
});

const model: Option = { key: "model", kind: "text", value: "NAME", help: "a folder or a Hub id" };
const judging: readonly Option[] = [
  model,
  {
    ...{ key: "column", kind: "text", value: "COLUMN", help: "the column of the prompt" },
    otherwise: "prompt, messages, question, query, instruction or text",
  },
  rewardOption,
  {
    ...{ key: "rewardAdapter", kind: "text", value: "FOLDER" },
    help: "a ranker of the same base that judges too: what peft reward wrote",
  },
];
const sampled: readonly Option[] = [
  {
    ...{ key: "rewardWeights", kind: "numbers", value: "N,N" },
    help: "what each reward weighs, in their order, the ranker last",
    otherwise: "1 each",
  },
  whole("promptsPerStep", "prompts of a step", 8),
  whole("iterations", "steps that learn from the same answers", 1, "num_iterations"),
  whole("maxNewTokens", "tokens of an answer, at most", 256, "max_completion_length"),
  number("temperature", "scores are divided by it", 1),
  whole("topK", "draw from the likeliest tokens; 0: from all", 0),
  number("topP", "draw from this share of probability", 1),
  whole("rolloutRows", "answers that are sampled side by side", 64),
  flag("maskTruncated", "answers that were cut do not count", "mask_truncated_completions"),
  number("rewardTimeout", "seconds that a reward may wait for something", 120),
  whole("parallelRewards", "rewards that are called at the same time", 4),
  whole("showEvery", "steps between answers that are shown; 0: none", 10),
];
const clips: readonly Option[] = [
  number("epsilon", "how far an answer's tokens may become less likely before they teach nothing", 0.2),
  number("epsilonHigh", "how far they may become likelier", "epsilon"),
];

interface Reinforcement {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option[];
  readonly trainer: (model: PeftModel, given: Given) => ReturnType<Learning["trainer"]>;
}

interface Given {
  readonly prompts: readonly PromptRowLike[];
  readonly rewards: readonly RewardFunction[];
  /** A reward model's folder. */
  readonly ranker: string | undefined;
  readonly tokenizer: RolloutTrainerOptions["tokenizer"];
  /** Of the Trainer and of this one, as its options were checked. */
  readonly settings: object;
}

const ways: readonly Reinforcement[] = [
  {
    name: "grpo",
    summary: "Teach a model by rewards of its answers, each beside others to the same prompt (GRPO).",
    options: [
      {
        ...{ key: "loss", kind: "text", choices: GRPO_LOSSES, otherwise: "dapo", python: "loss_type" },
        help: "which loss, by its name in TRL",
      },
      whole("generations", "answers to each prompt", 8, "num_generations"),
      number("beta", "what an answer's distance from the base without adapter costs", 0),
      ...clips,
      number("delta", "the largest ratio that is not clipped", "none"),
      {
        ...{ key: "level", kind: "text", choices: ["token", "sequence"], otherwise: "token" },
        ...{ help: "ratios by token, or by answer (GSPO)", python: "importance_sampling_level" },
      },
      {
        ...{ key: "scaleRewards", kind: "text", choices: ["group", "batch", "none"], otherwise: "group" },
        help: "whose standard deviation rewards are divided by",
      },
      flag("normalizeThenSum", "normalize each reward in its group, and their sum over all answers"),
      number("topEntropyQuantile", "the share of tokens, those with the largest entropy, that count", 1),
      number("entropyCoef", "how much entropy is rewarded", 0),
    ],
    trainer: async (model, given) =>
      new GRPOTrainer(...((await judged(model, given)) satisfies [PeftModel, GrpoTrainerOptions])),
  },
  {
    name: "rloo",
    summary:
      "Teach a model by rewards of its answers, less the mean of the others (REINFORCE leave-one-out).",
    options: [
      whole("generations", "answers to each prompt", 2, "num_generations"),
      number("beta", "what an answer's distance from the base without adapter costs", 0.05),
      ...clips,
      {
        ...{ key: "rewardClipRange", kind: "numbers", value: "LEAST,MOST", otherwise: "none" },
        help: "bounds of an answer's reward",
      },
      flag("normalizeAdvantages", "give advantages a mean of 0 and a standard deviation of 1"),
    ],
    trainer: async (model, given) =>
      new RLOOTrainer(...((await judged(model, given)) satisfies [PeftModel, RlooTrainerOptions])),
  },
];

/** Proximal policy optimization takes one judge, and names of its own. */
const ppo: Reinforcement = {
  name: "ppo",
  summary: "Teach a model by rewards of its answers, with a critic that says what they will be worth (PPO).",
  options: [
    whole("rolloutSize", "answers of a rollout", 8),
    whole("ppoEpochs", "times that a rollout is learnt", 4, "num_ppo_epochs"),
    whole("miniBatches", "optimizer steps of each of these", 1, "num_mini_batches"),
    whole("responseLength", "tokens of an answer, at most", 53),
    whole("maxPromptLength", "tokens of a prompt; longer ones are left out", "what the model has room for"),
    number("temperature", "scores are divided by it", 0.7),
    number("klCoef", "what an answer's distance from the base without adapter costs", 0.05),
    number("gamma", "how much later rewards count", 1),
    number("lam", "lambda of the advantages", 0.95),
    number("cliprange", "how far a token's ratio may move before its gradient ends", 0.2),
    number("cliprangeValue", "how far a value may move", 0.2),
    number("vfCoef", "what the critic's loss weighs", 0.1),
    number("missingEosPenalty", "what an answer without an end loses", 0),
  ],
  trainer: async (model, { settings, prompts, rewards, ranker, tokenizer }) => {
    const [first, another = ranker] = rewards;
    const reward = first ?? RANKER;
    if (first !== undefined && another !== undefined) throw oneReward(rewards.length + (ranker ? 1 : 0));
    // a critic begins as the ranker beside it
    if (ranker !== undefined) await model.loadAdapter(ranker, RANKER);
    const asked = prompts.map((row) => (typeof row === "string" ? row : row.prompt));
    return new PPOTrainer(model, { ...settings, tokenizer, prompts: asked, reward });
  },
};

/** The name under which a ranker stands beside the policy. */
const RANKER = "ranker";

/**
 * What GRPO and RLOO are told. The ranker is a model of its own over the same base: what is saved is the
 * policy alone.
 */
async function judged(
  model: PeftModel,
  { settings, rewards, ranker, prompts, tokenizer }: Given,
): Promise<[policy: PeftModel<"CAUSAL_LM">, options: RolloutTrainerOptions]> {
  const policy = writing(model);
  const own = { ...settings, prompts, tokenizer };
  if (ranker === undefined) return [policy, { ...own, rewards }];
  const judge = await PeftModel.fromPretrained(policy.base, ranker, { adapterName: RANKER });
  return [policy, { ...own, rewards: [...rewards, rankerReward(judge, { adapter: RANKER, tokenizer })] }];
}

/** `peft grpo`, `peft rloo`, `peft ppo`: `peft train` on answers that the model gives itself. */
export function reinforcementVerbs(train: Verb, trainOne: TrainOne): readonly Verb[] {
  const groups = ways.map((way) => ({ ...way, options: [...judging, ...way.options, ...sampled] }));
  const all = [...groups, { ...ppo, options: [...judging, ...ppo.options] }];
  return all.map((way) => verbOf(way, train, trainOne));
}

function verbOf(way: Reinforcement, train: Verb, trainOne: TrainOne): Verb {
  const { name, summary, options } = way;
  return {
    name,
    summary,
    examples: [
      `peft ${name} --model HuggingFaceTB/SmolLM2-135M-Instruct --data prompts.jsonl --reward rewards.ts --output ${name}`,
      `peft ${name} --model HuggingFaceTB/SmolLM2-135M-Instruct --data prompts.jsonl --reward-adapter ranker --output ${name}`,
    ],
    groups: (argv) => groupsWithout(train.groups(argv), LEFT_OUT, { title: "Answers and rewards", options }),
    run: (given, terminal) => runReinforcement(way, given, terminal, trainOne),
  };
}

async function runReinforcement(
  { name, options, trainer }: Reinforcement,
  given: Settings,
  terminal: Terminal,
  trainOne: TrainOne,
): Promise<number> {
  checkGiven(given);
  const prompts = await readPrompts(given, terminal);
  const { rewards, files } = await readRewards(given, terminal);
  const keys = options.map(({ key }) => key);
  const own = keys.filter((key) => !judging.some((option) => option.key === key));
  const by: Learning = {
    ...{ verb: name, keys: [...keys, "template"] },
    read: { files, isChat: prompts.some((row) => typeof row === "object" && typeof row.prompt === "object") },
    trainer: ({ tokenizer, model: _, train: __, validation: ___, ...plain }, settings, model) => {
      if (tokenizer === undefined) throw noTokenizer();
      const ranker = settings.text("rewardAdapter");
      const both = { ...plain, ...settings.pick(own) };
      return trainer(model, { prompts, rewards, ranker, tokenizer, settings: both });
    },
  };
  return trainOne(given.over({ task: "CAUSAL_LM", kind: "text" }), terminal, false, by);
}

/** Throws "option" without a model that writes, or without anything that judges. */
function checkGiven(given: Settings): void {
  if (!given.isGiven("model") && !given.isGiven("adapter"))
    throw new PeftError("option", {
      what: "No model is given.",
      why: "the one that ships with peft.js reads a text and names its class: it writes no answers.",
      fix: words`add ${option("model", "HuggingFaceTB/SmolLM2-135M-Instruct")}.`,
    });
  if (given.isGiven("reward") || given.isGiven("rewardAdapter")) return;
  throw new PeftError("option", {
    what: "No reward is given.",
    why: "a model learns from its own answers by what somebody says of them.",
    fix: words`add ${option("reward", "rewards.ts")}, or ${option("rewardAdapter", "FOLDER")}.`,
  });
}

/** Throws "option" for a model that continues no texts. */
function writing(model: PeftModel): PeftModel<"CAUSAL_LM"> {
  if (writes(model)) return model;
  throw new PeftError("option", {
    what: `The model is for ${model.taskType}.`,
    why: "answers are sampled as continuations of prompts.",
    fix: words`name a model that writes: ${option("model", "HuggingFaceTB/SmolLM2-135M-Instruct")}.`,
  });
}

function writes(model: PeftModel): model is PeftModel<"CAUSAL_LM"> {
  return model.taskType === "CAUSAL_LM";
}

function oneReward(count: number): PeftError {
  return new PeftError("option", {
    what: `${count} rewards are given.`,
    why: "PPO learns from one: a critic says what it will be worth.",
    fix: words`leave one of them, or use peft grpo, which weighs several (${option("rewardWeights")}).`,
  });
}
