import { SCHEDULE_NAMES, TRAINER_DEFAULTS as usual } from "../index.js";
import type { Option, OptionGroup, Settings } from "./options.js";

/** Options of the Trainer, under its names. */
const training: readonly Option[] = [
  { key: "epochs", kind: "whole", help: "times through the data", byDefault: usual.epochs },
  { key: "maxSteps", kind: "whole", help: "optimizer steps; decides over epochs", otherwise: "by epochs" },
  { key: "batchSize", kind: "whole", help: "rows of a batch", byDefault: usual.batchSize },
  {
    key: "gradientAccumulationSteps",
    kind: "whole",
    help: "batches of a step",
    byDefault: usual.gradientAccumulationSteps,
  },
  { key: "lr", kind: "number", help: "the learning rate at its peak", byDefault: usual.lr },
  {
    key: "schedule",
    kind: "text",
    help: "how the learning rate moves",
    byDefault: usual.schedule,
    choices: SCHEDULE_NAMES,
  },
  { key: "scheduleOptions", kind: "map", help: "what single schedules read besides: numCycles=2" },
  { key: "warmupSteps", kind: "whole", help: "steps until the peak", otherwise: "0" },
  { key: "warmupRatio", kind: "number", help: "the same as a part of all steps" },
  { key: "weightDecay", kind: "number", help: "of AdamW", byDefault: usual.weightDecay },
  { key: "betas", kind: "numbers", help: "of AdamW", otherwise: usual.betas.join(",") },
  { key: "eps", kind: "number", help: "of AdamW", byDefault: usual.eps },
  { key: "maxGradNorm", kind: "number", help: "clip the gradient's norm", byDefault: usual.maxGradNorm },
  {
    key: "seed",
    kind: "whole",
    help: "of new weights, dropout and the order of rows",
    byDefault: usual.seed,
  },
  { key: "shuffle", kind: "flag", help: "keep the rows' own order", byDefault: usual.shuffle },
  {
    key: "groupByLength",
    kind: "flag",
    help: "do not put rows of similar length together",
    byDefault: usual.shuffle,
  },
  {
    key: "emptyLabels",
    kind: "text",
    help: "what becomes of a row with nothing to learn in it",
    choices: ["error", "drop"],
    byDefault: usual.emptyLabels,
  },
  {
    key: "truncationSide",
    kind: "text",
    help: "which end of a sample that is too long goes",
    choices: ["left", "right"],
    byDefault: usual.truncationSide,
  },
];

const watching: readonly Option[] = [
  {
    key: "evaluateEvery",
    kind: "value",
    help: "steps between evaluations on the validation rows",
    otherwise: usual.evaluateEvery,
  },
  { key: "evaluateOnStart", kind: "flag", help: "evaluate before the first step too" },
  {
    key: "generate",
    kind: "value",
    help: "let the model answer in evaluations: true, or a number of rows",
    otherwise: "where bestMetric needs it",
  },
  {
    key: "bestMetric",
    kind: "text",
    help: "keep the adapter that is best by this: loss, accuracy, ...",
    otherwise: "keep the last",
  },
  {
    key: "earlyStopping",
    kind: "map",
    help: "stop after so many evaluations without improvement: 3, or patience=3,minDelta=0.01",
  },
  { key: "samples", kind: "whole", help: "rows whose answers are shown before and after", byDefault: 5 },
  { key: "saveEvery", kind: "value", help: "steps between checkpoints", otherwise: usual.saveEvery },
  {
    key: "keepCheckpoints",
    kind: "whole",
    help: "how many stay; the best stays besides",
    byDefault: usual.keepCheckpoints,
  },
];

export const trainingGroups: readonly OptionGroup[] = [
  { title: "Training", options: training },
  { title: "Evaluations and checkpoints", options: watching },
];

export const trainingKeys: readonly string[] = [...training, ...watching].map((option) => option.key);

/** The Trainer's options that have a value. What needs validation rows is left out where it is not given. */
export function trainerOptions(settings: Settings): Record<string, unknown> {
  const { earlyStopping, evaluateOnStart, ...options } = settings.pick([
    ...trainingKeys,
    "maxLength",
    "maxTargetLength",
  ]);
  const patience = Number(earlyStopping);
  const stopping = Number.isNaN(patience) ? earlyStopping : { patience };
  return {
    ...options,
    ...(earlyStopping === undefined ? {} : { earlyStopping: stopping }),
    ...(evaluateOnStart === true ? { evaluateOnStart } : {}),
    // row order is left alone as a whole
    ...(settings.flag("shuffle")
      ? {}
      : { groupByLength: settings.isGiven("groupByLength") && settings.flag("groupByLength") }),
  };
}
