import type { TaskType } from "../data/batch.js";
import type { Row } from "../data/row.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig } from "../generate/config.js";
import type { Loss } from "../peft/losses.js";
import { PeftModel } from "../peft/peft_model.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { TrainableModel } from "./model.js";
import { maxPositionsOf } from "./model.js";
import type { ScheduleExtras, ScheduleName } from "./schedules.js";
import { schedules } from "./schedules.js";
import { metricNames, scoreKind } from "./scores.js";

export interface EarlyStopping {
  /** Evaluations in a row without improvement after which the run ends. */
  readonly patience: number;
  /** "loss" without it. */
  readonly metric?: string | undefined;
  /** Less than this is no improvement; 0. */
  readonly minDelta?: number | undefined;
}

/** Everything but model, tokenizer and train has a default. Names are the command line's, in camelCase. */
export interface TrainerOptions<T extends TaskType = TaskType> {
  model: TrainableModel<T>;
  tokenizer: Tokenizer;
  train: readonly Row[];
  validation?: readonly Row[] | undefined;
  /**
   * Gets the adapter (or the whole model), metrics.jsonl, report.html, training_config.json, checkpoints/.
   * Without it nothing is written.
   */
  outputDir?: string | undefined;
  /** 3 */
  epochs?: number | undefined;
  /** Optimizer steps; decides over epochs. */
  maxSteps?: number | undefined;
  /** 8 */
  batchSize?: number | undefined;
  /** Batches per optimizer step; the last step of an epoch may have fewer. 1 */
  gradientAccumulationSteps?: number | undefined;
  /** The schedule's peak: 1e-3 for adapters, 5e-5 for a whole model. */
  lr?: number | undefined;
  /** "linear", as all nine of transformers. */
  schedule?: ScheduleName | undefined;
  /** What single schedules read besides. */
  scheduleOptions?: ScheduleExtras | undefined;
  warmupSteps?: number | undefined;
  /** A part of all steps, in place of warmupSteps. 0 */
  warmupRatio?: number | undefined;
  /** 0 */
  weightDecay?: number | undefined;
  /** [0.9, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** 1e-8 */
  eps?: number | undefined;
  /** Infinity: no clipping. 1 */
  maxGradNorm?: number | undefined;
  /** Tokens of a sample; the tokenizer's and the model's own limit without it. */
  maxLength?: number | undefined;
  maxTargetLength?: number | undefined;
  /** Class names, for rows that carry their label as text. */
  labels?: readonly string[] | undefined;
  emptyLabels?: "error" | "drop" | undefined;
  truncationSide?: "left" | "right" | undefined;
  /** Of the order of the rows. 0 */
  seed?: number | undefined;
  /** true */
  shuffle?: boolean | undefined;
  /** As shuffle. */
  groupByLength?: boolean | undefined;
  /**
   * Steps between evaluations, or "epoch", which is the default where there are validation rows. The last
   * step always is.
   */
  evaluateEvery?: number | "epoch" | undefined;
  /** An evaluation before the first step as well. false */
  evaluateOnStart?: boolean | undefined;
  /** Steps between checkpoints, or "epoch", the default. The last step always is. */
  saveEvery?: number | "epoch" | undefined;
  /** How many checkpoints stay; the best one stays besides. 2 */
  keepCheckpoints?: number | undefined;
  /**
   * Ends the run when the metric stops improving. The adapter that is left is then the best one's, not the
   * last one's.
   */
  earlyStopping?: EarlyStopping | undefined;
  /**
   * What "best" means: "loss", or a metric of the task. Given, the adapter that is left is the best one's,
   * not the last one's.
   */
  bestMetric?: string | undefined;
  /** Rows whose outputs are shown before and after; 0. */
  samples?: number | undefined;
  /** Goes on from the newest checkpoint in outputDir, or from the checkpoint of this path. */
  resume?: boolean | string | undefined;
  /** Removes the run that is in outputDir, when nothing of the new one can fail any more. @default false */
  overwrite?: boolean | undefined;
  loss?: Loss | undefined;
  /**
   * Let the model answer in evaluations (a number: that many rows); true where `generation` or a metric of
   * answers is given.
   */
  generate?: boolean | number | undefined;
  generation?: GenerationConfig | undefined;
  /** Stops after the step that runs, and saves a checkpoint. */
  signal?: AbortSignal | undefined;
  /** What training_config.json and the report say besides: where model and data came from. */
  config?: Readonly<Record<string, unknown>> | undefined;
  /** Milliseconds. */
  now?: (() => number) | undefined;
}

/** What the Trainer does where nothing is said. The peak of the learning rate is for adapters; a whole model gets 5e-5. */
export const TRAINER_DEFAULTS = {
  epochs: 3,
  batchSize: 8,
  gradientAccumulationSteps: 1,
  lr: 1e-3,
  schedule: "linear",
  weightDecay: 0,
  betas: [0.9, 0.999],
  eps: 1e-8,
  maxGradNorm: 1,
  emptyLabels: "error",
  truncationSide: "right",
  seed: 0,
  shuffle: true,
  evaluateEvery: "epoch",
  evaluateOnStart: false,
  saveEvery: "epoch",
  keepCheckpoints: 2,
  samples: 0,
  resume: false,
  overwrite: false,
  now: (): number => Date.now(),
} as const;

type Filled = { [K in keyof typeof TRAINER_DEFAULTS]: NonNullable<TrainerOptions[K]> };

/** Options with their defaults. */
export interface Settings extends Omit<TrainerOptions, keyof Filled | "model">, Filled {
  readonly model: TrainableModel;
  readonly groupByLength: boolean;
  readonly bestMetric: string;
  /** Whether the best weights, not the last, are what the run leaves. */
  readonly keepBest: boolean;
  readonly generate: boolean | number;
}

/** Throws "option" with everything that is wrong or contradicts itself. */
export function settingsOf<T extends TaskType>(given: TrainerOptions<T>): Settings {
  const options = given as unknown as TrainerOptions;
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const filled = { ...TRAINER_DEFAULTS, ...said } as Omit<TrainerOptions, keyof Filled> & Filled;
  const { model, earlyStopping, generation } = options;
  const bestMetric = options.bestMetric ?? earlyStopping?.metric ?? "loss";
  const answers = scoreKind(model) === "answers" && metricNames.answers.includes(bestMetric);
  const settings: Settings = {
    ...filled,
    model,
    lr: options.lr ?? (model instanceof PeftModel ? filled.lr : 5e-5),
    groupByLength: options.groupByLength ?? filled.shuffle,
    bestMetric,
    keepBest: earlyStopping !== undefined || options.bestMetric !== undefined,
    generate: options.generate ?? (generation !== undefined || answers),
  };
  refuseOptions([...numberFaults(settings), ...contradictions(settings, options)]);
  return settings;
}

function numberFaults(s: Settings): string[] {
  const faults: string[] = [];
  const check = (name: string, value: unknown, fits: boolean, must: string): void => {
    if (value !== undefined && !fits)
      faults.push(`${name} is ${JSON.stringify(value) ?? value}, not ${must}`);
  };
  const whole = (name: keyof Settings, least: number): void => {
    const value = s[name] as number;
    check(name, value, Number.isInteger(value) && value >= least, `a whole number of at least ${least}`);
  };
  for (const name of ["maxSteps", "batchSize", "gradientAccumulationSteps", "epochs"] as const)
    whole(name, 1);
  for (const name of ["maxLength", "maxTargetLength"] as const) whole(name, 1);
  for (const name of ["warmupSteps", "samples", "seed", "keepCheckpoints"] as const) whole(name, 0);
  for (const name of ["evaluateEvery", "saveEvery"] as const) if (s[name] !== "epoch") whole(name, 1);
  if (typeof s.generate === "number") whole("generate", 1);
  for (const name of ["lr", "weightDecay", "eps"] as const)
    check(name, s[name], Number.isFinite(s[name]) && s[name] >= 0, "a number of at least 0");
  check("maxGradNorm", String(s.maxGradNorm), s.maxGradNorm > 0, "a number above 0");
  const ratio = s.warmupRatio ?? 0;
  check("warmupRatio", ratio, ratio >= 0 && ratio <= 1, "a part between 0 and 1");
  for (const beta of s.betas) check("betas", beta, beta >= 0 && beta < 1, "between 0 and 1");
  if (s.earlyStopping === undefined) return faults;
  const { patience, minDelta = 0 } = s.earlyStopping;
  check("earlyStopping.patience", patience, Number.isInteger(patience) && patience > 0, "at least 1");
  check("earlyStopping.minDelta", minDelta, minDelta >= 0, "at least 0");
  return faults;
}

function contradictions(s: Settings, given: TrainerOptions): string[] {
  const faults: string[] = [];
  const { model, earlyStopping } = s;
  if (!(s.schedule in schedules))
    faults.push(`schedule ${JSON.stringify(s.schedule)} is none of ${Object.keys(schedules).join(", ")}`);
  if (given.warmupSteps !== undefined && given.warmupRatio !== undefined)
    faults.push("warmupSteps and warmupRatio say the same thing; give one");
  const known = ["loss", ...metricNames[scoreKind(model)]];
  if (!known.includes(s.bestMetric))
    faults.push(`the metric ${JSON.stringify(s.bestMetric)} is none of ${known.join(", ")}`);
  if (given.bestMetric !== undefined && (earlyStopping?.metric ?? s.bestMetric) !== s.bestMetric)
    faults.push(`bestMetric is "${s.bestMetric}", earlyStopping.metric "${earlyStopping?.metric}"`);
  const needsRows = (["evaluateEvery", "evaluateOnStart", "earlyStopping", "bestMetric"] as const).filter(
    (name) => given[name] !== undefined && given[name] !== false,
  );
  if (given.validation === undefined && needsRows.length > 0)
    faults.push(`${needsRows.join(", ")} without validation rows`);
  const needsFolder = (["saveEvery", "keepCheckpoints"] as const).filter((name) => given[name] !== undefined);
  if (given.outputDir === undefined && (needsFolder.length > 0 || s.resume === true))
    faults.push(`${[...needsFolder, ...(s.resume === true ? ["resume"] : [])].join(", ")} without outputDir`);
  if (s.overwrite && s.resume !== false) faults.push("overwrite and resume contradict each other; give one");
  if (model.taskType === "FEATURE_EXTRACTION" && s.loss === undefined)
    faults.push("FEATURE_EXTRACTION has no loss of its own, and none is given");
  if (s.generate === true && scoreKind(model) !== "answers")
    faults.push(`a model for ${model.taskType} does not generate`);
  const positions = maxPositionsOf(model);
  if ((given.maxLength ?? 0) > positions)
    faults.push(`maxLength is ${given.maxLength}, but the model has ${positions} positions for it`);
  return faults;
}

export function refuseOptions(faults: readonly string[]): void {
  if (faults.length === 0) return;
  throw new PeftError("option", {
    what: `The Trainer cannot run like this: ${faults.join("; ")}.`,
    why: "an option out of its range, or options that contradict each other, have no one meaning.",
    fix: "correct the options named above, or leave them out for their defaults.",
  });
}
