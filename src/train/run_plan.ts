import type { TaskType } from "../data/batch.js";
import type { EncodedRows, EncodeReport } from "../data/encode.js";
import { describeReport } from "../data/encode.js";
import type { Row } from "../data/row.js";
import { RowStream, rowsOf } from "../data/row_stream.js";
import type { Sample } from "../data/sample.js";
import { split } from "../data/split.js";
import { PeftError } from "../errors.js";
import { taskOf } from "../tasks/registry.js";
import { option, toCode, words } from "../words.js";
import { encodeFor } from "./evaluate.js";
import { RowSource } from "./row_source.js";
import type { TrainingState } from "./saved_state.js";
import { learningRate } from "./schedules.js";
import { scoresOf } from "./scores.js";
import type { StepSource } from "./step_source.js";
import { StreamSource } from "./stream_source.js";
import { type Given, refuseOptions, type Settings, withoutRows } from "./trainer_options.js";

/** What a run will do, known before it starts. */
export interface RunPlan {
  readonly source: StepSource;
  /** The training rows, encoded; the first of a stream; of another source none. */
  readonly samples: readonly Sample[];
  /** What encoding did to these. */
  readonly report: EncodeReport | undefined;
  readonly validation: readonly Sample[];
  readonly epochs: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
  readonly warnings: readonly string[];
  /** What must be the same when a run is resumed. */
  readonly identity: Readonly<Record<string, number>>;
}

/**
 * Opens what is streamed: training rows become a source of steps, validation rows are read into memory.
 * Throws "data", "option".
 */
export async function openRows(given: Given): Promise<Settings> {
  const { train, validation, isSplit } = splitOf(given);
  const known = validation === undefined ? undefined : await rowsOf(validation);
  if (!(train instanceof RowStream)) return { ...given, train, validation: known, isSplit };
  const { first } = await train.open();
  const settings = { ...given, train: first, validation: known, isSplit };
  return { ...settings, source: await StreamSource.open(train, settings) };
}

/** Fewer rows than these are all learnt. */
const LEAST_TO_SPLIT = 200;

interface Sets {
  readonly train: Given["train"];
  readonly validation: readonly Row[] | RowStream | undefined;
  readonly isSplit: boolean;
}

/** Takes validation rows away from those to learn, where that is left to us. Throws "option". */
function splitOf(given: Given): Sets {
  const { train, validation, seed } = given;
  if (validation !== "auto") return { train, validation, isSplit: false };
  if (!(train instanceof RowStream) && train.length >= LEAST_TO_SPLIT) {
    const count = Math.min(1000, Math.max(20, Math.round(train.length / 10)));
    return { ...split(train, { validation: count, seed }), isSplit: true };
  }
  if (given.needValidation.length > 0) refuseOptions([withoutRows(given)]);
  return { train, validation: undefined, isSplit: false };
}

/**
 * Encodes all rows. Throws "data" with the faults of both sets at once, and "option" for a schedule that
 * cannot run.
 */
export function planOf(s: Settings): RunPlan {
  refuseProblems(s);
  const { train, validation } = encodeBoth(s);
  const samples = train?.samples ?? [];
  const source: StepSource = s.source ?? new RowSource(s, samples);
  const head = source instanceof StreamSource ? source : undefined;
  const { stepsPerEpoch } = source;
  const totalSteps = s.maxSteps ?? stepsPerEpoch * s.epochs;
  const warmupSteps = s.warmupSteps ?? Math.ceil((s.warmupRatio ?? 0) * totalSteps);
  const plan: RunPlan = {
    source,
    samples: head?.samples ?? samples,
    report: train?.report ?? head?.report,
    validation: validation?.samples ?? [],
    epochs: Math.ceil(totalSteps / stepsPerEpoch),
    totalSteps,
    warmupSteps,
    warnings: [
      ...(head === undefined ? oneClass(s.train) : []),
      ...warningsOf(head === undefined ? "train" : "the first rows of train", train?.report ?? head?.report),
      ...warningsOf("validation", validation?.report),
      ...(source.warnings ?? []),
    ],
    identity: { modelSeed: s.model.base.seed, ...source.identity },
  };
  rateAt(s, plan, 0);
  return plan;
}

/** Plans the memory of the largest batch. A custom loss is counted when it runs first. */
export async function planMemory({ model, loss }: Settings, { source }: RunPlan): Promise<void> {
  if (loss === undefined) await model.planMemory(source.sizes);
}

/** The learning rate of a step, counted from 0. */
export function rateAt({ schedule, lr, scheduleOptions }: Settings, plan: RunPlan, step: number): number {
  const { totalSteps, warmupSteps } = plan;
  return learningRate(schedule, { ...scheduleOptions, lr, totalSteps, warmupSteps }, step);
}

/**
 * Throws "option" where the run is not the one that wrote the state: its position and its bits would mean
 * nothing.
 */
export function refuseOtherRun(plan: RunPlan, { counters }: TrainingState): void {
  const names: Readonly<Record<string, string>> = {
    modelSeed: "the model's seed",
    samples: "the number of training samples",
    contents: "the training samples themselves (their digest)",
  };
  const faults = Object.entries(plan.identity).flatMap(([name, value]) =>
    counters[name] === value
      ? []
      : [`${names[name] ?? name} is ${value}, and was ${counters[name] ?? "not saved"}`],
  );
  refuseOptions(faults.map((fault) => `the checkpoint to resume is another run's: ${fault}`));
}

function encodeBoth(s: Settings): { train?: EncodedRows<TaskType>; validation?: EncodedRows<TaskType> } {
  const faults: PeftError[] = [];
  const encode = (rows: readonly Row[], packing = false): EncodedRows<TaskType> | undefined => {
    try {
      return encodeFor(s.model, rows, { ...s, packing });
    } catch (error) {
      if (!(error instanceof PeftError)) throw error;
      faults.push(error);
      return undefined;
    }
  };
  const train = s.source === undefined ? encode(s.train, s.packing) : undefined;
  const validation = s.validation === undefined ? undefined : encode(s.validation);
  const [first, second] = faults;
  if (first !== undefined && second !== undefined && first.code === second.code && first.what !== second.what)
    throw new PeftError(first.code, {
      what: words`${first.parts.what} In the validation rows: ${second.parts.what}`,
      why: first.why === second.why ? first.parts.why : words`${first.parts.why} And ${second.parts.why}`,
      fix: first.fix === second.fix ? first.parts.fix : words`${first.parts.fix} And ${second.parts.fix}`,
    });
  if (first !== undefined) throw first;
  return { ...(train && { train }), ...(validation && { validation }) };
}

/** Labels of another kind than the head's loss. */
function refuseProblems({ model, train, validation = [] }: Settings): void {
  if (taskOf(model.taskType).labels !== "row") return;
  const wanted = scoresOf(model, train).problem;
  if (wanted === undefined) return;
  const other = [...train, ...validation].find((r) => "problemType" in r && r.problemType !== wanted);
  if (other === undefined || !("problemType" in other)) return;
  const { problemType, labelNames, at } = other;
  const { numLabels, problemType: says = "nothing" } = model.config;
  const count = problemType === "regression" ? 1 : labelNames.length;
  throw new PeftError("data", {
    what: `The labels are for ${problemType}, the model's head is for ${wanted} (first at ${at}).`,
    why: `its config.json says num_labels ${numLabels}, problem_type ${says}.`,
    fix: words`say what the labels are: ${option("problemType", wanted)}${toCode(`; or load the model with config: { problem_type: "${problemType}", num_labels: ${count} }`)}.`,
  });
}

function warningsOf(name: string, report: EncodeReport | undefined): string[] {
  if (
    report === undefined ||
    report.truncated + report.emptyLabels + report.tooLong + report.notes.length === 0
  )
    return [];
  return [`${name}: ${describeReport(report)}`];
}

/**
 * A file sorted by class and read with a limit gives one class: the loss is then 0, and nothing is learnt.
 */
function oneClass(rows: readonly Row[]): string[] {
  const [first] = rows;
  if (first === undefined || !("problemType" in first) || first.problemType !== "single_label_classification")
    return [];
  const [id] = first.labels;
  if (rows.some((row) => !("problemType" in row) || row.labels[0] !== id)) return [];
  const name = first.labelNames[id ?? -1] ?? String(id);
  return [`train: all rows have the label "${name}", so there is nothing to tell apart`];
}
