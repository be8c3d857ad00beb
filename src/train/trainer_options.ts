import { expectArgument, type NamesOf, refuseUnknown } from "../arguments.js";
import type { TaskType } from "../data/batch.js";
import { type MediaOptions, mediaNames } from "../data/media.js";
import { expectRows, type Row } from "../data/row.js";
import { RowStream } from "../data/row_stream.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig } from "../generate/config.js";
import type { Loss } from "../losses/loss.js";
import { type LossOptions, lossNamed } from "../losses/registry.js";
import { defaultsIn, faultOf, type OptionRow } from "../options.js";
import type { TrainableModel } from "../peft/trainable.js";
import { taskOf } from "../tasks/registry.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { joined, option, type Words, words } from "../words.js";
import { type CustomMetrics, directionOf } from "./custom_metrics.js";
import type { EvaluationProgress } from "./events.js";
import { expectModel } from "./model.js";
import type { ScheduleExtras } from "./schedules.js";
import { scoresOf } from "./scores.js";
import type { StepSource } from "./step_source.js";
import { trainerParts, trainerTable } from "./trainer_table.js";
import type { PlainTrainerOptions, TrainerValues } from "./trainer_types.js";

/** When a run ends because it does not get better. */
export interface EarlyStopping {
  /** Evaluations in a row without improvement after which the run ends. */
  readonly patience: number;
  /** By which it is judged. @default "loss" */
  readonly metric?: string | undefined;
  /** Less than this is no improvement. @default 0 */
  readonly minDelta?: number | undefined;
}

/** Everything but model, tokenizer and train has a default. Names are the command line's, in camelCase. */
export interface TrainerOptions<T extends TaskType = TaskType>
  extends PlainTrainerOptions,
    Omit<MediaOptions, "workers" | "augmentation"> {
  /** What is trained: an adapter on its frozen base, or a whole model. */
  model: TrainableModel<T>;
  /** The model's own. @default none, for a model that reads no text */
  tokenizer?: Tokenizer | undefined;
  /**
   * The rows to learn, as loadDataset or rowsFrom gives them; or a source of steps of your own (pairs,
   * rollouts).
   */
  train: readonly Row[] | RowStream | StepSource;
  /**
   * Rows to evaluate on while training; a stream is read into memory. "auto" takes a tenth of `train` for it
   * (20 rows at least, 1000 at most), drawn by the seed, where that is a list of 200 rows or more.
   * @default false: none; the command line takes "auto"
   */
  validation?: readonly Row[] | RowStream | "auto" | false | undefined;
  /**
   * Gets the adapter (or the whole model), metrics.jsonl, report.html, training_config.json, checkpoints/.
   * @default nothing is written
   */
  outputDir?: string | undefined;
  /** What single schedules read besides. @default the schedule's own */
  scheduleOptions?: ScheduleExtras | undefined;
  /** Class names, for rows that carry their label as text. @default those of the rows */
  labels?: readonly string[] | undefined;
  /**
   * Ends the run when the metric stops improving. The adapter that is left is then the best one's, not the
   * last one's. @default never
   */
  earlyStopping?: EarlyStopping | undefined;
  /** Goes on from the newest checkpoint in outputDir, or from the checkpoint of this path. @default false */
  resume?: boolean | string | undefined;
  /** Removes the run that is in outputDir, when nothing of the new one can fail any more. @default false */
  overwrite?: boolean | undefined;
  /** A loss of your own, or the name of one that is registered. @default the task's */
  loss?: Loss | string | undefined;
  /** Options of a loss that is named: { scale: 30 }, { margin: 0.5 }. @default the loss's own */
  lossOptions?: LossOptions | undefined;
  /**
   * Let the model answer in evaluations (a number: that many rows). @default true where `generation` or a
   * metric of answers is given
   */
  generate?: boolean | number | undefined;
  /** How it answers in evaluations. @default greedy, a little longer than the longest target */
  generation?: GenerationConfig | undefined;
  /**
   * Figures of your own from an evaluation's predictions, beside the task's. `bestMetric` may name one: more
   * is better, unless its name ends in "loss" or "error". @default none
   */
  metrics?: CustomMetrics | undefined;
  /** Stops after the step that runs, and saves a checkpoint. */
  signal?: AbortSignal | undefined;
  /** Hears how far an evaluation has come, and answers before and after training. */
  progress?: ((progress: EvaluationProgress) => void) | undefined;
  /** What training_config.json and the report say besides: where model and data came from. */
  config?: Readonly<Record<string, unknown>> | undefined;
  /** Gives the time in milliseconds. @default Date.now */
  now?: (() => number) | undefined;
}

const trainerNames: NamesOf<TrainerOptions> = {
  ...trainerTable,
  ...trainerParts,
  model: {},
  tokenizer: { python: "processing_class" },
  processor: mediaNames.processor,
  skipBad: mediaNames.skipBad,
  train: { python: "train_dataset", also: ["rows", "data"] },
  validation: { python: "eval_dataset", also: ["valid", "validation_data"] },
  outputDir: { also: ["output"] },
  labels: { also: ["label_names"] },
  resume: { python: "resume_from_checkpoint" },
  overwrite: { python: "overwrite_output_dir" },
  generation: { python: "generation_config" },
  metrics: { python: "compute_metrics" },
  signal: {},
  progress: { also: ["callbacks"] },
  config: {},
  now: {},
};

/** Options with their defaults. */
export interface Settings
  extends Omit<TrainerOptions, keyof TrainerValues | "train" | "validation" | "loss">,
    TrainerValues {
  /** None where `source` gives the steps, the first ones of a stream. */
  readonly train: readonly Row[];
  readonly validation: readonly Row[] | undefined;
  /** Whether these were taken away from the training rows. */
  readonly isSplit: boolean;
  /** Options that mean nothing without validation rows. */
  readonly needValidation: readonly string[];
  readonly source: StepSource | undefined;
  readonly loss: Loss | undefined;
  readonly model: TrainableModel;
  readonly lr: number;
  /** Where the learning rate comes from, where it is a default. */
  readonly lrFrom: string | undefined;
  readonly groupByLength: boolean;
  readonly bestMetric: string;
  /** Which way that metric is better. */
  readonly betterIs: "higher" | "lower";
  readonly resume: boolean | string;
  readonly overwrite: boolean;
  readonly now: () => number;
  /** Whether the best weights, not the last, are what the run leaves. */
  readonly keepBest: boolean;
  readonly generate: boolean | number;
}

/** Options of which streams are not opened yet. */
export interface Given extends Omit<Settings, "train" | "validation" | "isSplit"> {
  readonly train: readonly Row[] | RowStream;
  readonly validation: readonly Row[] | RowStream | "auto" | undefined;
}

const needing = ["evaluateEvery", "evaluateOnStart", "earlyStopping", "bestMetric"] as const;

/** Throws "option" with everything that is wrong or contradicts itself. */
export function settingsOf<T extends TaskType>(given: TrainerOptions<T>): Given {
  const options = given as unknown as TrainerOptions;
  refuseUnknown("new Trainer", options, trainerNames);
  checkArguments(options);
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const filled = { ...defaultsIn(trainerTable), ...said } as Omit<TrainerOptions, keyof TrainerValues> &
    TrainerValues;
  const { model, train, earlyStopping, generation } = options;
  const bestMetric = options.bestMetric ?? earlyStopping?.metric ?? "loss";
  const { learningRate: usual } = model.trainedBy;
  const scores = scoresOf(model);
  const answers = scores.from === "text" && bestMetric in scores.metrics;
  const settings: Given = {
    ...filled,
    validation: options.validation === false ? undefined : options.validation,
    needValidation: needing.filter((name) => options[name] !== undefined && options[name] !== false),
    model,
    loss: lossOf(options),
    train: isSource(train) ? [] : train,
    source: isSource(train) ? train : undefined,
    lr: options.lr ?? usual.value,
    lrFrom: options.lr === undefined ? usual.from : undefined,
    groupByLength: options.groupByLength ?? filled.shuffle,
    bestMetric,
    betterIs: bestMetric === "loss" ? "lower" : (scores.metrics[bestMetric] ?? directionOf(bestMetric)),
    keepBest: earlyStopping !== undefined || options.bestMetric !== undefined,
    generate: options.generate ?? (generation !== undefined || options.metrics !== undefined || answers),
    resume: options.resume ?? false,
    overwrite: options.overwrite ?? false,
    now: options.now ?? ((): number => Date.now()),
  };
  refuseOptions([...valueFaults(options), ...contradictions(settings, options)]);
  return settings;
}

function lossOf({ loss, lossOptions }: TrainerOptions): Loss | undefined {
  if (loss !== undefined) return lossNamed(loss, lossOptions);
  if (lossOptions === undefined) return undefined;
  throw new PeftError("option", {
    what: words`${option("lossOptions")} is given without ${option("loss")}.`,
    why: "which options there are depends on the loss.",
    fix: words`name it too: ${option("loss", "multipleNegativesRanking")}.`,
  });
}

function checkArguments({ model, tokenizer, processor, train, validation }: TrainerOptions): void {
  expectModel("new Trainer({ model })", model);
  expectArgument("new Trainer({ tokenizer })", tokenizer, {
    is: typeof tokenizer === "function" || processor !== undefined || isSource(train),
    wants: "a tokenizer",
    fix: "load it: await AutoTokenizer.fromPretrained(name).",
  });
  if (!isSource(train) && !(train instanceof RowStream)) expectRows("new Trainer({ train })", train);
  const isChoice = validation === undefined || validation === false || validation === "auto";
  if (!isChoice && !(validation instanceof RowStream)) expectRows("new Trainer({ validation })", validation);
}

function isSource(train: TrainerOptions["train"]): train is StepSource {
  return typeof (train as Partial<StepSource> | undefined)?.next === "function" && "stepsPerEpoch" in train;
}

function valueFaults(given: TrainerOptions): Words[] {
  const faults: Words[] = [];
  const check = (name: string, row: OptionRow, value: unknown): void => {
    const must = value === undefined ? undefined : faultOf(row, value);
    if (must !== undefined) faults.push(words`${option(name)} is ${shown(value)}, not ${must}`);
  };
  for (const [name, row] of Object.entries(trainerTable))
    check(name, row, given[name as keyof TrainerValues]);
  const { generate, earlyStopping } = given;
  if (typeof generate !== "boolean") check("generate", { kind: "whole", min: 1, means: "" }, generate);
  if (earlyStopping === undefined) return faults;
  if (typeof earlyStopping !== "object") {
    faults.push(words`${option("earlyStopping")} is ${shown(earlyStopping)}, not { patience: 3 }`);
    return faults;
  }
  refuseUnknown("earlyStopping", earlyStopping, stoppingNames);
  check("earlyStopping.patience", { kind: "whole", min: 1, means: "" }, earlyStopping.patience);
  check("earlyStopping.minDelta", { kind: "number", min: 0, means: "" }, earlyStopping.minDelta);
  return faults;
}

const stoppingNames: NamesOf<EarlyStopping> = {
  patience: { python: "early_stopping_patience" },
  metric: {},
  minDelta: { python: "early_stopping_threshold" },
};

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

function contradictions(s: Given, given: TrainerOptions): Words[] {
  const faults: Words[] = [];
  const { model, earlyStopping } = s;
  if (given.warmupSteps !== undefined && given.warmupRatio !== undefined)
    faults.push(words`${option("warmupSteps")} and ${option("warmupRatio")} say the same thing; give one`);
  const scores = scoresOf(model);
  const known = ["loss", ...Object.keys(scores.metrics)];
  const hasOwn = s.metrics !== undefined || s.source?.evaluate !== undefined;
  if (!hasOwn && !known.includes(s.bestMetric))
    faults.push(words`the metric ${JSON.stringify(s.bestMetric)} is none of ${known.join(", ")}`);
  if (given.bestMetric !== undefined && (earlyStopping?.metric ?? s.bestMetric) !== s.bestMetric)
    faults.push(
      words`${option("bestMetric")} is "${s.bestMetric}", the metric of ${option("earlyStopping")} "${earlyStopping?.metric}"`,
    );
  const isEvaluated = s.validation !== undefined || s.source?.evaluate !== undefined;
  if (!isEvaluated && s.needValidation.length > 0) faults.push(withoutRows(s));
  const needsFolder = (["saveEvery", "keepCheckpoints", "tensorboard"] as const).filter(
    (name) => given[name] !== undefined && given[name] !== false,
  );
  if (given.outputDir === undefined && (needsFolder.length > 0 || s.resume === true))
    faults.push(
      words`${joined([...needsFolder, ...(s.resume === true ? ["resume"] : [])].map((name) => option(name)))} without ${option("outputDir")}`,
    );
  if (s.overwrite && s.resume !== false)
    faults.push(words`${option("overwrite")} and ${option("resume")} contradict each other; give one`);
  const { labels, impliedBy } = taskOf(model.taskType);
  const kind = Array.isArray(s.train) ? (s.train as readonly Row[])[0]?.kind : undefined;
  if (labels === "none" && s.loss === undefined && kind !== undefined && !impliedBy.includes(kind))
    faults.push(
      words`${model.taskType} has no loss of its own for rows of kind "${kind}", and none is given`,
    );
  if (s.generate === true && scores.from !== "text")
    faults.push(words`${option("generate")} is given, and a model for ${model.taskType} does not generate`);
  const { maxPositions } = model;
  if ((given.maxLength ?? 0) > maxPositions)
    faults.push(
      words`${option("maxLength")} is ${given.maxLength}, but the model has ${maxPositions} positions for it`,
    );
  return faults;
}

/** The fault of options that need validation rows, where there are none. */
export function withoutRows({ needValidation }: Pick<Given, "needValidation">): Words {
  return words`${joined(needValidation.map((name) => option(name)))} without ${option("validation")} rows`;
}

export function refuseOptions(faults: readonly (string | Words)[]): void {
  if (faults.length === 0) return;
  throw new PeftError("option", {
    what: words`The Trainer cannot run like this: ${joined(faults, "; ")}.`,
    why: "an option out of its range, or options that contradict each other, have no one meaning.",
    fix: "correct the options named above, or leave them out for their defaults.",
  });
}
