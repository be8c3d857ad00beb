import {
  AutoConfig,
  CPOTrainer,
  DPOTrainer,
  KTOTrainer,
  ORPOTrainer,
  type PreferenceOptions,
  type TrainerOptions,
} from "../index.js";
import { noTokenizer, showHub } from "./model.js";
import { groupsWithout, type Option, type Settings, type Verb } from "./options.js";
import { dataFiles } from "./rows.js";
import { withShipped } from "./shipped.js";
import type { Terminal } from "./terminal.js";
import type { Learning, TrainOne } from "./train.js";

/** Options of `peft train` that mean nothing here. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  ...["loss", "lossOptions", "packing", "maxTargetLength", "truncationSide", "emptyLabels", "shuffleWindow"],
  ...[
    "generate",
    "samples",
    "test",
    "sweep",
    "streaming",
    "pooling",
    "normalize",
    "template",
    "target",
    "task",
  ],
  ...["text", "pair", "label", "messages", "labels", "problemType", "raw", "lossColumns"],
]);

const number = (key: string, help: string, byDefault: number): Option => ({
  ...{ key, help, kind: "number", otherwise: `${byDefault}` },
});
const beta = number("beta", "how strongly the policy is held to its reference", 0.1);
const smoothing = number("labelSmoothing", "share of pairs thought to be the wrong way round", 0);
const losses = (choices: readonly string[]): Option => ({
  ...{
    key: "loss",
    kind: "text",
    help: "which loss, by its name in TRL",
    choices,
    otherwise: choices[0] ?? "",
  },
});
const reference: Option = {
  ...{ key: "reference", kind: "text", choices: ["base", "start"] },
  help: "what the policy is compared with: the base without adapter, or the model as the run begins",
  otherwise: "start with --adapter, else base",
};

interface Preference {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option[];
  /** What rows are, and how they are taken, where nobody says it. */
  readonly usual: Readonly<Record<string, unknown>>;
  readonly trainer: (
    model: TrainerOptions["model"],
    options: PreferenceOptions,
  ) => ReturnType<Learning["trainer"]>;
}

const dpoLosses = [
  ...["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot"],
  ...["aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"],
];

const preferences: readonly Preference[] = [
  {
    name: "dpo",
    summary: "Teach a model which of two answers is better (DPO and its relatives).",
    options: [losses(dpoLosses), beta, smoothing, reference],
    usual: { kind: "preference" },
    trainer: (model, options) => new DPOTrainer(model, options),
  },
  {
    name: "kto",
    summary: "Teach a model which answers are desirable (KTO): rows of prompt, completion and label.",
    options: [
      ...[losses(["kto", "apo_zero_unpaired"]), beta, reference],
      number("desirableWeight", "what desirable rows weigh", 1),
      number("undesirableWeight", "what the others weigh", 1),
    ],
    usual: { kind: "judged", shuffle: false },
    trainer: (model, options) => new KTOTrainer(model, options),
  },
  {
    name: "orpo",
    summary: "Teach a model answers and which of two is better at once (ORPO), without a reference.",
    options: [beta],
    usual: { kind: "preference" },
    trainer: (model, options) => new ORPOTrainer(model, options),
  },
  {
    name: "cpo",
    summary: "Teach a model which of two answers is better without a reference (CPO, SimPO, AlphaPO).",
    options: [
      ...[losses(["sigmoid", "hinge", "ipo", "simpo"]), beta, smoothing],
      number("cpoAlpha", "what the likelihood of chosen answers weighs; SimPO proper has 0", 1),
      number("simpoGamma", "SimPO's margin", 0.5),
      number("alpha", "AlphaPO's exponent; 0: rewards are log-probabilities", 0),
    ],
    usual: { kind: "preference" },
    trainer: (model, options) => new CPOTrainer(model, options),
  },
];

/** `peft dpo`, `peft kto`, `peft orpo`, `peft cpo`: `peft train` with another trainer. */
export function preferenceVerbs(train: Verb, trainOne: TrainOne): readonly Verb[] {
  return preferences.map((preference) => verbOf(preference, train, trainOne));
}

function verbOf(preference: Preference, train: Verb, trainOne: TrainOne): Verb {
  const { name, summary, options, usual } = preference;
  const keys = options.map(({ key }) => key);
  const by: Learning = {
    verb: name,
    keys,
    trainer: ({ model, train: rows, validation, outputDir, tokenizer, ...plain }, settings) => {
      if (tokenizer === undefined) throw noTokenizer();
      return preference.trainer(model, {
        ...(plain as Partial<PreferenceOptions>),
        ...settings.pick(keys),
        ...{ tokenizer, rows: Array.isArray(rows) ? rows : [], output: outputDir },
        ...(Array.isArray(validation) && { validation }),
      });
    },
  };
  return {
    name,
    summary,
    examples: [
      `peft ${name} --model HuggingFaceTB/SmolLM2-135M-Instruct --data pairs.jsonl --output ${name}`,
    ],
    groups: (argv) => groupsWithout(train.groups(argv), LEFT_OUT, { title: "Preferences", options }),
    run: (given, terminal) => runPreference(given, terminal, usual, by, trainOne),
  };
}

async function runPreference(
  given: Settings,
  terminal: Terminal,
  usual: Readonly<Record<string, unknown>>,
  by: Learning,
  trainOne: TrainOne,
): Promise<number> {
  dataFiles(given);
  const { model } = (await withShipped(given, terminal)).pick(["model"]);
  const hub = { progress: showHub(terminal) };
  const { taskType = "CAUSAL_LM" } = await AutoConfig.fromPretrained(String(model), hub);
  return trainOne(given.over({ ...usual, task: taskType }), terminal, false, by);
}
