// Over 400 lines: a run from its settings to what is printed at its end, step by step.
import {
  createProgress,
  describeHeader,
  evaluate,
  eventLine,
  figure,
  formatDuration,
  getPeftModel,
  isChat,
  labelNames,
  PeftError,
  type PeftModel,
  type Progress,
  plural,
  type Row,
  type RunMode,
  type SampleEvent,
  type Tokenizer,
  type TrainEvent,
  type TrainEventOf,
  Trainer,
  type TrainerOptions,
  taskOf,
} from "../index.js";
import { joined, option, words } from "../words.js";
import { commandLine, typed } from "./flags.js";
import { methodConfig, methodGroups, methodKeys, withMethod } from "./method_options.js";
import { adapterOption, engineGroup, knownLabels, modelGroup, openModel, poolingOptions } from "./model.js";
import { longerRun } from "./more_epochs.js";
import { waysToUse } from "./next.js";
import { type Option, optionsOf, type Settings, type Verb } from "./options.js";
import { digests, isFinished, openOutput } from "./output.js";
import {
  asTrained,
  dataFiles,
  dataGroup,
  formLine,
  readTrainingRows,
  rowKeys,
  type TrainingRows,
} from "./rows.js";
import { NO_VALIDATION, type RunRecord, writeRecord } from "./run_record.js";
import { printClasses, printSamples } from "./samples.js";
import { withShipped } from "./shipped.js";
import { sweep } from "./sweep.js";
import { exitCode, lineText, quieted, type Terminal } from "./terminal.js";
import { lengthOptions, trainerOptions, trainingGroups, trainingKeys } from "./training_options.js";

/** `peft train` */
export const train: Verb = {
  name: "train",
  summary: "Fine-tune a model on your data. Without options: the model and the data that ship with peft.js.",
  examples: [
    "peft train",
    'peft train --model bigscience/mt0-large --data tweets.csv --template "Tweet text : {Tweet text} Label : " --target "{Label}" --r 8 --output out',
    "peft train --model HuggingFaceTB/SmolLM2-135M-Instruct --data chats.jsonl --validation-split 0.1 --output out",
    "peft train --model microsoft/MiniLM-L12-H384-uncased --data banking77.csv --text text --label category --output out",
    "peft train --config run.yaml --epochs 5",
    "peft train --output out --epochs +2",
    "peft train --data tweets.csv --text text --label label --sweep lr=1e-4,3e-4 r=8,16 --output sweep",
  ],
  groups: (argv) => [
    modelGroup("the model that ships", {
      ...adapterOption,
      help: "an adapter to go on from: its method, its tensors",
    }),
    dataGroup(
      {
        key: "validation",
        kind: "text",
        value: "FILE",
        help: "rows to evaluate on while training; none: no rows",
        otherwise: "a tenth of the rows, where there are 200 or more",
      },
      {
        key: "validationSplit",
        kind: "number",
        help: "or a part of the rows (0.1), or a number of them (100)",
      },
      {
        key: "streaming",
        kind: "flag",
        isSwitch: true,
        help: "read rows while training, not before: JSONL, Parquet and Arrow",
        otherwise: "on where the files are larger than 1 GB together",
      },
      { key: "test", kind: "text", value: "FILE", help: "rows to evaluate on before and after" },
      {
        key: "addTokens",
        kind: "names",
        value: "TOKEN,TOKEN...",
        help: "tokens to add to the vocabulary: LoRA trains their rows, and the adapter's folder has the tokenizer",
      },
      ...lengthOptions,
      ...poolingOptions,
    ),
    ...methodGroups(argv),
    ...trainingGroups,
    {
      title: "Output",
      options: [
        {
          key: "output",
          api: "outputDir",
          kind: "text",
          value: "FOLDER",
          help: "where the adapter goes",
          byDefault: "out",
        },
        { key: "overwrite", kind: "flag", help: "remove a former run from the folder and start anew" },
        {
          key: "sweep",
          kind: "text",
          many: true,
          value: "NAME=A,B...",
          help: "train each combination of values, in folders of their own, and set them side by side",
        },
        ...talkOptions,
      ],
    },
    engineGroup,
  ],
  run,
};

const talkOptions: readonly Option[] = [
  { key: "dryRun", kind: "flag", help: "say what the run would do and take, and write nothing" },
  { key: "quiet", kind: "flag", help: "say warnings and results alone" },
  {
    key: "verbose",
    kind: "flag",
    help: "a line for every step, and figures class by class at each evaluation",
  },
  { key: "json", kind: "flag", help: "print every event as a line of JSON, and no other results" },
];

const stopping = "Stopping after this step. Once more ends at once.";

/** What a command learns from its rows, and by which trainer. */
export interface Learning {
  /** The command's name. */
  readonly verb: string;
  readonly trainer: (
    options: TrainerOptions,
    settings: Settings,
    model: PeftModel,
  ) => Running | Promise<Running>;
  /** Settings that its runs are told apart by, beside those of every run. */
  readonly keys: readonly string[];
  /** Where it reads by itself what is learnt, in place of rows. */
  readonly read?: {
    /** Files beside those of the data that decide what is learnt. */
    readonly files: readonly string[];
    /** Whether the chat template writes prompts. */
    readonly isChat: boolean;
  };
}

type Running = Pick<Trainer, "header" | "run">;

export type TrainOne = typeof trainOne;

const NO_ROWS: TrainingRows = { train: [], validation: undefined, test: undefined };

const learning: Learning = { verb: "train", trainer: (options) => new Trainer(options), keys: [] };

async function run(given: Settings, world: Terminal): Promise<number> {
  if (!given.isGiven("sweep")) return trainOne(given, world);
  return sweep(given, asTalkative(given, world), {
    options: optionsOf(train, given.argv),
    train: (settings) => trainOne(settings, world, true),
  });
}

/** @param isSwept a run that is there already is passed over */
export async function trainOne(
  said: Settings,
  world: Terminal,
  isSwept = false,
  by: Learning = learning,
): Promise<number> {
  const terminal = asTalkative(said, world);
  const { settings: given, added, command = typed(said.argv, by.verb) } = await longerRun(said, terminal);
  const settings = withMethod(await startingPoint(given, terminal));
  dataFiles(settings);
  methodConfig(settings);
  const output = settings.text("output")!;
  const keys = [
    "model",
    "adapter",
    "revision",
    "task",
    ...filesAndRows,
    ...methodKeys(settings),
    ...trainingKeys,
    ...by.keys,
  ];
  const wanted = {
    settings: settings.pick(keys),
    files: await digests(settings, terminal, by.read?.files),
    command,
    ...(added === undefined ? {} : { added }),
    finished: false,
  };
  const start = await openOutput(output, wanted, settings.flag("overwrite"), terminal);
  if (start === "finished") {
    if (!isSwept) throw await isFinished(output, terminal);
    terminal.note(`It is in "${output}" already.`);
    return 0;
  }
  const rows = by.read === undefined ? await readTrainingRows(settings, terminal) : NO_ROWS;
  const progress = progressOf(settings, terminal);
  const onInterrupt = (isLast: boolean): void => (isLast ? progress.stop() : progress.note(stopping));
  return terminal.interruptible(onInterrupt, async (signal) => {
    const opening = { rows: rows.train, signal, isTrainable: true };
    const { base, adapted, tokenizer, processor } = await openModel(settings, terminal, opening);
    try {
      const model = adapted ?? getPeftModel(base, methodConfig(settings, tokenizer), { tokenizer });
      const form = formLine(rows.train, model.taskType, tokenizer);
      if (form !== undefined) terminal.note(form);
      const learnt =
        by.read === undefined ? learntFrom(rows.train, model, tokenizer) : { isChat: by.read.isChat };
      const record: RunRecord = { ...wanted, ...learnt };
      terminal.print(model.trainableParametersLine());
      const labels = labelNames(rows.train);
      const job: Job = {
        by,
        settings,
        terminal,
        world,
        progress,
        model,
        reading: { tokenizer, processor },
        rows,
        labels,
        record,
        output,
        signal,
      };
      return await work(job, start);
    } finally {
      await base.close();
    }
  });
}

/**
 * The settings, with what is not said taken from what ships, or from the adapter that the run starts from.
 */
async function startingPoint(given: Settings, terminal: Terminal): Promise<Settings> {
  if (!given.isGiven("adapter")) return withShipped(given, terminal);
  const fixed = methodKeys(given).filter((key) => given.isGiven(key));
  if (fixed.length > 0)
    throw new PeftError("option", {
      what: words`${joined(fixed.map((key) => option(key)))} and ${option("adapter")} are both given.`,
      why: "the adapter that a run starts from says by its adapter_config.json what it is.",
      fix: "leave one of them out.",
    });
  const settings = await asTrained(given, terminal);
  const labels = await knownLabels(settings, terminal);
  return labels === undefined || labels.length === 0 ? settings : settings.over({ labels });
}

/** The terminal as quiet as it is asked to be. */
function asTalkative(settings: Settings, terminal: Terminal): Terminal {
  const heard = settings.flag("quiet") ? quieted(terminal) : terminal;
  return settings.flag("json") ? { ...heard, print: () => {} } : heard;
}

function progressOf(settings: Settings, terminal: Terminal): Progress {
  const isVerbose = settings.flag("verbose");
  const progress = createProgress({
    ...{ stream: terminal.stderr, bar: terminal.drawsBar && !isVerbose, show: settings.show },
    ...(isVerbose ? { everySeconds: 0 } : {}),
  });
  if (!settings.flag("quiet")) return progress;
  return { ...progress, draw: (event) => event.type === "warning" && progress.draw(event) };
}

/** What the run's record says of its rows: the columns told it, and `peft generate` asks as they did. */
function learntFrom(
  [first]: readonly Row[],
  { taskType }: PeftModel,
  tokenizer: Tokenizer,
): Pick<RunRecord, "kind" | "isChat"> {
  if (first === undefined) return {};
  return { kind: first.kind, isChat: taskOf(taskType).accepts.includes("chat") && isChat(first, tokenizer) };
}

const filesAndRows = [
  "data",
  "validation",
  "validationSplit",
  "test",
  "streaming",
  "addTokens",
  ...poolingOptions.map(({ key }) => key),
  "maxLength",
  "maxTargetLength",
  ...rowKeys,
];

interface Job {
  readonly by: Learning;
  readonly settings: Settings;
  /** As quiet as it is asked to be. */
  readonly terminal: Terminal;
  /** Where events are printed as JSON. */
  readonly world: Terminal;
  readonly progress: Progress;
  readonly model: PeftModel;
  readonly reading: Pick<TrainerOptions, "tokenizer" | "processor">;
  readonly rows: TrainingRows;
  readonly labels: readonly string[];
  readonly record: RunRecord;
  readonly output: string;
  readonly signal: AbortSignal;
}

/** Before, training, after. */
async function work(job: Job, mode: RunMode): Promise<number> {
  const { terminal, model, output, record, signal } = job;
  const began = terminal.now();
  const trainer = await job.by.trainer(trainerOf(job, mode), job.settings, model);
  const header = await trainer.header();
  if (job.settings.flag("dryRun")) {
    if (job.settings.flag("json")) job.world.print(JSON.stringify(header));
    for (const line of describeHeader(header)) terminal.print(words`${line}`.shown(job.settings.show));
    return 0;
  }
  await model.disableAdapter(() => test(job, "before"));
  const { end, samples } = await follow(job, trainer.run());
  if (end?.reason === "aborted") {
    const from = end.step === 0 ? "starts it anew" : `goes on from ${end.step} of its steps, in "${output}"`;
    terminal.note(`The same command ${from}.`);
    return exitCode(signal);
  }
  await test(job, "after");
  await writeRecord(output, { ...record, finished: true }, terminal);
  printSamples(samples, terminal);
  if (end?.evaluation?.classes !== undefined) printClasses(end.evaluation.classes, terminal);
  if (samples.size > 0 || end?.evaluation?.classes !== undefined) terminal.print("");
  const took = formatDuration((terminal.now() - began) / 1000);
  terminal.print(
    `Done in ${took}. The adapter is in "${output}", its curves in "${terminal.join(output, "report.html")}".`,
  );
  for (const line of nextSteps(job, samples)) terminal.print(line);
  return 0;
}

function trainerOf(
  { settings, progress, model, reading, rows, labels, record, output, signal }: Job,
  mode: RunMode,
): TrainerOptions {
  return {
    ...trainerOptions(settings),
    ...reading,
    model,
    train: rows.stream ?? rows.train,
    validation: rows.validation ?? (settings.text("validation") === NO_VALIDATION ? false : "auto"),
    progress: progress.draw,
    outputDir: output,
    resume: mode === "resume",
    overwrite: mode === "overwrite",
    signal,
    config: {
      command: record.command,
      model: settings.text("model"),
      data: settings.list("data").join(", "),
      files: Object.entries(record.files).map((file) => file.join(" sha256:")),
    },
    ...(labels.length === 0 ? {} : { labels }),
  };
}

interface Outcome {
  readonly end: TrainEventOf<"end"> | undefined;
  /** First and last answers by prompt. */
  readonly samples: ReadonlyMap<string, readonly SampleEvent[]>;
}

/** Draws what happens, and keeps what is shown at the end. */
async function follow(job: Job, events: AsyncIterable<TrainEvent>): Promise<Outcome> {
  const { settings, terminal, world, progress, output, record } = job;
  const samples = new Map<string, SampleEvent[]>();
  let end: Outcome["end"];
  try {
    for await (const event of events) {
      if (event.type === "start") await writeRecord(output, record, terminal);
      if (event.type === "end") end = event;
      if (settings.flag("json")) world.print(eventLine(event));
      if (event.type === "evaluation" && settings.flag("verbose") && event.classes !== undefined)
        printClasses(event.classes, { print: (line) => progress.note(lineText(line, (text) => text)) });
      if (event.type !== "sample") progress.draw(event);
      else samples.set(event.prompt, [...(samples.get(event.prompt) ?? []), event]);
    }
  } finally {
    progress.stop();
  }
  return { end, samples };
}

/** Metrics on the test rows, where there are some. */
async function test(
  { settings, terminal, world, progress, model, reading, rows, labels, signal }: Job,
  when: "before" | "after",
): Promise<void> {
  if (rows.test === undefined) return;
  const { loss, metrics } = await evaluate(model, rows.test, {
    ...reading,
    signal,
    progress: progress.draw,
    ...settings.pick(["maxLength", "maxTargetLength", "emptyLabels"]),
    batchSize: 32,
    ...(labels.length === 0 ? {} : { labels }),
  });
  progress.stop();
  if (settings.flag("json"))
    world.print(JSON.stringify({ type: "test", when, loss, metrics, rows: rows.test.length }));
  const [name, value] = Object.entries({ ...metrics, loss })[0]!;
  terminal.print(
    `test ${name} ${when}: ${figure(value)} (${plural(rows.test.length, "row")}, loss ${figure(loss)})`,
  );
}

function nextSteps({ output, model, rows }: Job, samples: Outcome["samples"]): string[] {
  const [prompt = ""] = samples.keys();
  const isShown = rows.train[0]?.kind === "prompt" && prompt !== "" && prompt.length <= 80;
  const merge = commandLine("merge", { adapter: output, output: `${output}-merged` });
  return [
    "Next:",
    ...waysToUse({ adapter: output }, model.taskType, isShown ? prompt : undefined).map(
      (line) => `  ${line}`,
    ),
    ...(model.isMergeable ? [`  ${merge}`] : []),
  ];
}
