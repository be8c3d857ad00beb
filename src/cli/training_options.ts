import { trainerParts, trainerTable } from "../index.js";
import { type Option, type OptionGroup, rowOption, type Settings } from "./options.js";

/**
 * Options of the Trainer, under its names: what differs here is how many samples are shown, and that epochs
 * may be added to a run.
 */
const rows = {
  ...trainerTable,
  samples: { ...trainerTable.samples, byDefault: 5 },
  epochs: {
    ...trainerTable.epochs,
    choices: ["+N"],
    form: "N|+N",
    means: "passes over the training rows; +2: two more by the finished run in the output folder",
  },
};
const { maxLength, maxTargetLength, evaluateEvery, evaluateOnStart, bestMetric, samples, ...rest } = rows;
const { saveEvery, keepCheckpoints, tensorboard, mlflow, ...plain } = rest;

const options = (table: Readonly<Record<string, Option["row"] & {}>>): Option[] =>
  Object.entries(table).map(([key, row]) => rowOption(key, row));

/** Given as `numCycles=2`, or in JSON. */
const part = (key: keyof typeof trainerParts, kind: Option["kind"]): Option => {
  const { row: _, ...option } = rowOption(key, trainerParts[key]);
  return { ...option, kind };
};

/** For every command that computes a loss. */
export const lossOption: Option = part("loss", "text");

const training: readonly Option[] = [
  ...options(plain),
  lossOption,
  part("lossOptions", "map"),
  part("scheduleOptions", "map"),
];
const watching: readonly Option[] = [
  ...options({ evaluateEvery, evaluateOnStart }),
  part("generate", "value"),
  ...options({ bestMetric }),
  part("earlyStopping", "map"),
  ...options({ samples, saveEvery, keepCheckpoints, tensorboard, mlflow }),
];

/** How long samples may be, for every command that reads rows. */
export const lengthOptions: readonly Option[] = options({ maxLength, maxTargetLength });

export const trainingGroups: readonly OptionGroup[] = [
  { title: "Training", options: training },
  { title: "Evaluations and checkpoints", options: watching },
];

export const trainingKeys: readonly string[] = [...training, ...watching].map((option) => option.key);

/** The Trainer's options that have a value. What needs validation rows is left out where it is not given. */
export function trainerOptions(settings: Settings): Record<string, unknown> {
  const {
    earlyStopping,
    evaluateOnStart,
    evaluateEvery: every,
    ...chosen
  } = settings.pick([...trainingKeys, "skipBad", ...lengthOptions.map((option) => option.key)]);
  const patience = Number(earlyStopping);
  const stopping = Number.isNaN(patience) ? earlyStopping : { patience };
  return {
    ...chosen,
    ...(settings.isGiven("evaluateEvery") ? { evaluateEvery: every } : {}),
    ...(earlyStopping === undefined ? {} : { earlyStopping: stopping }),
    ...(evaluateOnStart === true ? { evaluateOnStart } : {}),
  };
}
