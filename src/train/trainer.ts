import type { TaskType } from "../data/batch.js";
import { PeftError } from "../errors.js";
import { messageOf } from "../narrow.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import { answerable } from "./answers.js";
import { trainingCard } from "./card.js";
import { evaluateSamples } from "./evaluate.js";
import type { EndEvent, EndReason, RunHeader, SampleEvent, StartEvent, TrainEvent } from "./events.js";
import { headerOf } from "./header.js";
import { MlflowRun } from "./mlflow.js";
import { originOf } from "./origin.js";
import { RunFolder, type RunMode } from "./run_folder.js";
import { openRows, planMemory, planOf, type RunPlan } from "./run_plan.js";
import { configOf, flatConfig, reportOf } from "./run_report.js";
import { listCheckpoints } from "./saved_state.js";
import { scoresOf } from "./scores.js";
import { type Given, type Settings, settingsOf, type TrainerOptions } from "./trainer_options.js";
import { TrainingRun } from "./training_run.js";

export type { EvaluateOptions, Evaluation } from "./evaluate.js";
export { evaluate } from "./evaluate.js";
export type { EarlyStopping, TrainerOptions } from "./trainer_options.js";

/**
 * Trains a model on rows and says what it does, event by event. What is wrong with options, rows or the
 * output folder is thrown before anything is written or computed. Reference: transformers/trainer.py
 * @example
 * ```ts
 * import { split, Trainer } from "peft.js";
 *
 * const trainer = new Trainer({ model, tokenizer, ...split(rows), outputDir: "run", epochs: 3, lr: 1e-3 });
 * for await (const event of trainer.run()) if (event.type === "step") console.log(event.step, event.loss);
 * ```
 */
export class Trainer<T extends TaskType = TaskType> {
  readonly #given: Given;
  #planned: Promise<{ settings: Settings; plan: RunPlan }> | undefined;

  /** @throws "option" with all that is wrong */
  constructor(options: TrainerOptions<T>) {
    this.#given = settingsOf(options);
  }

  /**
   * Plans the memory of steps with the longest rows within the model's `maxMemory`; `run` does it too.
   * Nothing is loaded yet.
   * @throws "option" where none fits, "data"
   */
  async planMemory(): Promise<void> {
    const { settings, plan } = await this.#ready();
    await planMemory(settings, plan);
  }

  /**
   * What the run will do, with the plan of its memory: all that `run` finds out before its first step.
   * Nothing is loaded or written.
   * @throws "option", "data"
   */
  async header(): Promise<RunHeader> {
    await this.planMemory();
    const { settings, plan } = await this.#ready();
    return headerOf(settings, plan);
  }

  /** A plan that fails is made anew: the fault may be mended by then. */
  #ready(): Promise<{ settings: Settings; plan: RunPlan }> {
    this.#planned ??= openRows(this.#given)
      .then((settings) => ({ settings, plan: planOf(settings) }))
      .catch((error) => {
        this.#planned = undefined;
        throw error;
      });
    return this.#planned;
  }

  /**
   * Trains, and says what happens. A caller who stops reading stops the run.
   * @throws "data", "option", "output", "checkpoint" before work starts; "training" where a loss is no
   *   number: the step is named, and the newest checkpoint is from before it
   */
  async *run(): AsyncGenerator<TrainEvent, void, undefined> {
    const run = await openRun(this.#given, () => this.#ready());
    const { folder } = run;
    try {
      const mlflow = await trackerOf(run);
      try {
        for await (const event of eventsOf(run)) {
          await folder?.record(event);
          const fault = await mlflow?.record(event);
          if (event.type === "end") await folder?.writeReport(reportOf(run, folder.events));
          if (fault !== undefined) yield { type: "warning", message: `MLflow hears no more: ${fault}` };
          yield event;
        }
      } finally {
        await mlflow?.fail();
      }
    } finally {
      await folder?.flush();
      await folder?.close();
    }
  }
}

/** The run on the MLflow server that the options name. Throws "option" where it cannot be reached. */
async function trackerOf({ settings: s, plan, folder }: TrainingRun): Promise<MlflowRun | undefined> {
  if (s.mlflow === undefined) return undefined;
  const params = flatConfig(configOf(s, plan));
  const name = folder?.path.split(/[\\/]/).findLast(Boolean) ?? "run";
  try {
    return await MlflowRun.start(s.mlflow, { name, params, now: s.now });
  } catch (cause) {
    throw new PeftError("option", {
      what: words`${option("mlflow", s.mlflow)} takes no run.`,
      why: `${messageOf(cause)}.`,
      fix: "start the server (mlflow server), correct the address, or leave it out.",
      cause,
    });
  }
}

/** All checks, and then the folder. */
async function openRun(
  { outputDir, overwrite, resume, now }: Given,
  planned: () => Promise<{ settings: Settings; plan: RunPlan }>,
): Promise<TrainingRun> {
  const folder = outputDir === undefined ? undefined : new RunFolder(outputDir, now);
  const mode = overwrite ? "overwrite" : resume === false ? "new" : "resume";
  await folder?.check(mode);
  const { settings: s, plan } = await planned();
  await planMemory(s, plan);
  const checkpoint = await checkpointOf(s, folder);
  await folder?.open(TrainingRun.bytesOf(s.model.getNbTrainableParameters().trainable, s), mode);
  try {
    const run = await TrainingRun.open(s, plan, folder);
    if (checkpoint !== undefined) await run.resume(checkpoint);
    await folder?.writeConfig(configOf(s, plan)); // says that a run is here, so it stands before all else
    await folder?.startMetrics(run.step);
    if (s.tensorboard) await folder?.startBoard();
    return run;
  } catch (error) {
    await folder?.close();
    throw error;
  }
}

/** Throws "output" where a run could not be written to a folder; writes nothing. */
export async function checkOutputDir(path: string, mode: RunMode): Promise<void> {
  await new RunFolder(path, Date.now).check(mode);
}

/**
 * Where the run goes on; undefined: at its beginning, also where a run was stopped before its first
 * checkpoint.
 */
async function checkpointOf(
  { resume }: Settings,
  folder: RunFolder | undefined,
): Promise<string | undefined> {
  if (resume === false) return undefined;
  if (resume === true) return folder?.newestCheckpoint();
  for (const path of [resume, `${resume}/checkpoints`]) {
    const newest = (await listCheckpoints(path)).at(-1);
    if (newest !== undefined) return newest.path;
  }
  return resume;
}

async function* eventsOf(run: TrainingRun): AsyncGenerator<TrainEvent, void, undefined> {
  yield await startOf(run);
  for (const message of run.plan.warnings) yield { type: "warning", message };
  const expected = run.memory.expectation();
  if (expected !== undefined) yield { type: "warning", message: expected };
  let reason: EndReason;
  try {
    await run.plan.source.open?.(run.settings.signal);
    await run.rehearse();
    yield* memoryWarning(run);
    if (run.step === 0) yield* samplesOf(run);
    reason = yield* train(run);
    yield* skippedRows(run);
  } catch (error) {
    if (!isAbort(error, run.settings)) throw error;
    reason = "aborted";
  }
  yield* finish(run, reason);
}

/** Says which rows were left out, as they could not be read. */
function* skippedRows({ plan }: TrainingRun): Generator<TrainEvent> {
  const [first, ...others] = plan.source.skipped ?? [];
  if (first === undefined) return;
  const more = others.length === 0 ? "" : `, and ${others.length} more`;
  yield { type: "warning", message: `Left out, as it could not be read: ${first}${more}.` };
}

function isAbort(error: unknown, { signal }: Settings): boolean {
  return signal?.aborted === true && error instanceof PeftError && error.code === "aborted";
}

/**
 * Evaluates and saves where it is due, then takes the next step; a resumed run makes up for an evaluation
 * that was missed.
 */
async function* train(run: TrainingRun): AsyncGenerator<TrainEvent, EndReason, undefined> {
  const { settings: s, plan, folder } = run;
  for (;;) {
    const isLast = run.step >= plan.totalSteps;
    let improved = false;
    if (isEvaluationDue(run, isLast) && run.evaluatedAt !== run.step) {
      if (s.signal?.aborted) return "aborted";
      yield await run.evaluate();
      improved = run.best.best?.step === run.step && s.keepBest;
    }
    const isOver = isLast || run.best.isOver;
    if (folder && run.isDirty && (isOver || improved || isDue(s.saveEvery, run)))
      yield await run.save(folder);
    if (isOver) return isLast ? "finished" : "stopped-early";
    if (s.signal?.aborted) return "aborted";
    yield await run.train();
    yield* plan.source.says?.() ?? [];
    yield* memoryWarning(run);
  }
}

function* memoryWarning({ memory }: TrainingRun): Generator<TrainEvent, void, undefined> {
  const message = memory.warning();
  if (message !== undefined) yield { type: "warning", message };
}

function isDue(every: number | "epoch", run: TrainingRun): boolean {
  return run.step > 0 && (every === "epoch" ? run.isEpochEnd : run.step % every === 0);
}

function isEvaluationDue(run: TrainingRun, isLast: boolean): boolean {
  const { validation, evaluateEvery, evaluateOnStart } = run.settings;
  if (validation === undefined && run.plan.source.evaluate === undefined) return false;
  return run.step === 0 ? evaluateOnStart : isLast || isDue(evaluateEvery, run);
}

async function* finish(run: TrainingRun, reason: EndReason): AsyncGenerator<TrainEvent, void, undefined> {
  const { folder, settings: s } = run;
  if (reason === "aborted") {
    if (folder && run.isDirty) yield await run.save(folder);
    yield endOf(run, reason);
    return;
  }
  if (s.keepBest && !(await run.restoreBest()))
    yield { type: "warning", message: "The best checkpoint is gone: the last weights stay instead." };
  yield* samplesOf(run, true);
  await run.memory.read(true);
  if (folder) {
    await s.model.savePretrained(folder.path);
    if (s.tokenizer?.savePretrained === undefined) await folder.copyTokenizer(s.model.base.folder);
    else await s.tokenizer.savePretrained(folder.path);
  }
  const end = endOf(run, reason);
  const { command } = s.config ?? {};
  await folder?.addToCard(
    trainingCard(headerOf(s, run.plan), end, typeof command === "string" ? command : undefined),
  );
  yield end;
}

/** What the model says to some rows of the validation set, or of the training set. */
async function* samplesOf(run: TrainingRun, isEnd = false): AsyncGenerator<SampleEvent, void, undefined> {
  const { settings: s, plan } = run;
  const scores = scoresOf(s.model);
  if (s.samples === 0 || Object.keys(scores.metrics).length === 0) return;
  const [rows, all] = s.validation ? [s.validation, plan.validation] : [s.train, plan.samples];
  const usable = scores.from === "text" ? answerable(all) : all;
  const count = Math.min(s.samples, usable.length);
  const chosen = Array.from({ length: count }, (_, i) => at(usable, Math.floor((i * usable.length) / count)));
  if (count === 0) return;
  const signal = isEnd ? undefined : s.signal; // a run that has finished is not stopped any more
  const { predictions } = await evaluateSamples(s.model, rows, chosen, {
    ...s,
    ...{ generate: true, signal, metrics: undefined },
  });
  for (const { row, ...said } of predictions.toSorted((a, b) => a.row - b.row))
    yield { type: "sample", step: run.step, ...said };
}

async function startOf({ step, plan, settings }: TrainingRun): Promise<StartEvent> {
  const { trainable, total } = settings.model.getNbTrainableParameters();
  return {
    type: "start",
    step,
    totalSteps: plan.totalSteps,
    epochs: plan.epochs,
    rows: plan.source.size,
    trainableParameters: trainable,
    allParameters: total,
    header: headerOf(settings, plan),
    origin: await originOf(settings.model.base.folder, settings.now),
  };
}

function estimated({ model }: Settings): Pick<EndEvent, "estimatedMemory"> {
  const estimate = model.base.runtime.memoryEstimate;
  return estimate === undefined
    ? {}
    : { estimatedMemory: { bytes: estimate.bytes, plan: estimate.plan.name } };
}

function endOf(run: TrainingRun, reason: EndReason): EndEvent {
  const { best } = run.best;
  const kept = run.settings.keepBest && reason !== "aborted" ? best?.step : run.evaluations.at(-1)?.step;
  const evaluation = run.evaluations.find(({ step }) => step === kept);
  return {
    type: "end",
    reason,
    step: run.step,
    loss: run.loss,
    tokens: run.tokens,
    seconds: run.clock.seconds,
    peakMemoryBytes: run.memory.peak,
    ...estimated(run.settings),
    ...(evaluation === undefined ? {} : { evaluation }),
    ...(best === undefined ? {} : { best }),
    ...(run.checkpoint === undefined ? {} : { checkpoint: run.checkpoint }),
  };
}
