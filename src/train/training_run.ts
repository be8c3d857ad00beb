import { labelNames } from "../data/row.js";
import type { Parameter, Parameters } from "../graph/parameters.js";
import { nodeFiles } from "../hub/files.js";
import type { StepResult, TrainOptions } from "../peft/trainable.js";
import { at } from "../present.js";
import { taskOf } from "../tasks/registry.js";
import type { Inputs } from "../trace/feeds.js";
import { AdamW, loraPlus } from "./adamw.js";
import { BestSoFar } from "./best.js";
import { expectMetric } from "./custom_metrics.js";
import { type Evaluation, evaluateSamples } from "./evaluate.js";
import type { CheckpointEvent, EvaluationEvent, StepEvent } from "./events.js";
import { MemoryGauge } from "./memory_gauge.js";
import { lossNotFinite, weightsNotFinite } from "./not_finite.js";
import { restoreParameters, restoreTensors } from "./restore.js";
import type { RunFolder } from "./run_folder.js";
import type { RunPlan } from "./run_plan.js";
import { rateAt, refuseOtherRun } from "./run_plan.js";
import type { TrainingState } from "./saved_state.js";
import { loadState, saveState } from "./saved_state.js";
import { StepClock } from "./step_clock.js";
import { meanMetrics } from "./step_metrics.js";
import type { Settings } from "./trainer_options.js";

/** How a step goes through the model. */
function passOf({ loss, neftuneNoiseAlpha: neftune }: Settings, { source }: RunPlan): TrainOptions {
  return {
    ...(loss !== undefined && { loss }),
    ...(neftune !== undefined && { neftune }),
    ...(source.dropout === false && { training: false }),
  };
}

/** Where a run stands, and the pieces of its way; the Trainer decides which comes next. */
export class TrainingRun {
  readonly settings: Settings;
  readonly plan: RunPlan;
  readonly folder: RunFolder | undefined;
  readonly best: BestSoFar;
  readonly clock: StepClock;
  readonly memory: MemoryGauge;
  /** Optimizer steps done. */
  step = 0;
  /** Real tokens seen. */
  tokens = 0;
  /** The newest checkpoint. */
  checkpoint: string | undefined;
  /** The step of the last evaluation. */
  evaluatedAt = -1;
  /** Those of this run since it began or was resumed. */
  readonly evaluations: EvaluationEvent[] = [];
  /** Whether something happened that no checkpoint holds. */
  isDirty = false;
  readonly #parameters: Parameters;
  readonly #optimizer: AdamW;
  /** Of the epoch so far: the loss's sum, and what it is divided by. */
  #sum = 0;
  #count = 0;
  /** Copies of the best weights, where no folder keeps them. */
  #bestWeights: readonly Float32Array[] | undefined;
  /** Folders of checkpoints that may hold the best one. */
  readonly #kept: string[];

  private constructor(s: Settings, plan: RunPlan, folder: RunFolder | undefined, parameters: Parameters) {
    const { lr, betas, eps, weightDecay, maxGradNorm } = s;
    this.settings = s;
    this.plan = plan;
    this.folder = folder;
    this.best = new BestSoFar(s.bestMetric, s.betterIs, s.earlyStopping);
    this.clock = new StepClock(s.now);
    this.memory = new MemoryGauge(s.model, plan.source.sizes);
    this.#parameters = parameters;
    plan.source.seek(0, 0);
    s.model.planSteps(plan.totalSteps);
    this.#optimizer = new AdamW(parameters, {
      ...{ lr, betas, eps, weightDecay, maxGradNorm },
      ...(s.loraplusLrRatio !== undefined && { lrOf: loraPlus(s.loraplusLrRatio) }),
    });
    this.#kept = folder === undefined ? [] : [folder.checkpoints];
  }

  static async open(s: Settings, plan: RunPlan, folder: RunFolder | undefined): Promise<TrainingRun> {
    const parameters = s.model.trainableParameters();
    await s.model.ready();
    nameClasses(s);
    parameters.gradient.fill(0);
    parameters.count = 0;
    return new TrainingRun(s, plan, folder, parameters);
  }

  /** Epochs done, with the fraction of the one that runs. */
  get epoch(): number {
    const { epoch, position, epochSize } = this.plan.source;
    return epoch + position / epochSize;
  }

  /** Whether a step was the last one of its epoch. */
  get isEpochEnd(): boolean {
    return this.plan.source.position === 0;
  }

  /** Mean loss of the epoch so far, or of the last one; NaN before the first step. */
  get loss(): number {
    return this.#sum / this.#count;
  }

  /** Bytes that the run may write: checkpoints hold weights and both moments. */
  static bytesOf(parameters: number, { keepCheckpoints }: Settings): number {
    return 4 * parameters * (3 * (keepCheckpoints + 2) + 1);
  }

  /**
   * Goes to where a checkpoint was. Throws "checkpoint" where it does not fit the model, "option" where it
   * is another run's.
   */
  async resume(path: string): Promise<void> {
    const state = await loadState(path);
    refuseOtherRun(this.plan, state);
    this.#restore(state);
    this.#optimizer.load(state.optimizer);
    const { counters } = state;
    this.step = state.step;
    this.plan.source.seek(state.epoch, state.position);
    this.plan.source.restore?.(state.source ?? []);
    this.tokens = counters["tokens"] ?? 0;
    this.#sum = counters["lossSum"] ?? 0;
    this.#count = counters["lossCount"] ?? 0;
    this.evaluatedAt = counters["evaluatedAt"] ?? -1;
    this.best.stale = counters["stale"] ?? 0;
    if (state.best?.metric === this.best.metric) this.best.best = state.best;
    this.clock.start(counters["seconds"] ?? 0);
    this.checkpoint = path;
    this.#kept.push(nodeFiles.parent(path));
  }

  /**
   * Where memory is limited: a pass over the longest batch, of which nothing is kept. It takes what the whole
   * run will, so that a limit which does not hold shows before the first step.
   */
  async rehearse(): Promise<void> {
    if (this.memory.limit === undefined) return;
    const batch = await this.plan.source.longestBatch();
    if (batch === undefined) return;
    await this.settings.model.forwardBackward(batch, passOf(this.settings, this.plan));
    this.#parameters.gradient.fill(0);
    this.#parameters.count = 0;
    await this.memory.read(true);
  }

  /**
   * Forward and backward over a step's batches, and the optimizer's update. Throws "training" where a loss
   * is not finite.
   */
  async train(): Promise<StepEvent> {
    const { settings: s, plan } = this;
    const began = s.now();
    const isFirst = plan.source.position === 0;
    let [sum, count, tokens] = [0, 0, 0];
    const results: StepResult[] = [];
    for await (const batch of plan.source.next()) {
      const result = await s.model.forwardBackward(batch, passOf(s, plan));
      plan.source.hear?.(batch, result);
      if (!Number.isFinite(result.loss)) throw this.#lossNotFinite(result.loss, batch);
      results.push(result);
      sum += result.loss * result.count;
      count += result.count;
      tokens += tokensOf(batch);
    }
    const lr = rateAt(s, plan, this.step);
    this.#optimizer.lr = lr;
    const { gradNorm } = await this.#optimizer.step();
    this.#sum = sum + (isFirst ? 0 : this.#sum);
    this.#count = count + (isFirst ? 0 : this.#count);
    this.tokens += tokens;
    this.step++;
    this.isDirty = true;
    s.model.updateAndAllocate(this.step);
    this.clock.tick(s.now() - began, tokens);
    await this.memory.read(this.step === 1);
    const ofSource = plan.source.metrics?.();
    const ofLoss = meanMetrics(results);
    const metrics = (ofSource ?? ofLoss) && { ...ofSource, ...ofLoss };
    const said = { loss: sum / count, lr, gradNorm, ...(metrics && { metrics }) };
    return { type: "step", step: this.step, ...said, ...this.#pace() };
  }

  #pace(): Omit<StepEvent, "type" | "step" | "loss" | "lr" | "gradNorm" | "metrics"> {
    const { totalSteps } = this.plan;
    return {
      totalSteps,
      epoch: this.epoch,
      tokens: this.tokens,
      tokensPerSecond: this.clock.tokensPerSecond,
      memoryBytes: this.memory.now,
      secondsLeft: this.clock.secondsPerStep * (totalSteps - this.step),
    };
  }

  /**
   * Validation rows, if the run has some. Throws "training" where the loss is not finite, "aborted" by the
   * signal.
   */
  async evaluate(): Promise<EvaluationEvent> {
    const { settings: s, plan, step } = this;
    const { model, validation = [] } = s;
    const { loss, metrics, classes } =
      (await this.#evaluateSource()) ?? (await evaluateSamples(model, validation, plan.validation, s));
    await this.memory.read();
    if (!Number.isFinite(loss)) throw lossNotFinite(loss, "in the evaluation", this);
    if (s.metrics !== undefined || plan.source.evaluate !== undefined)
      expectMetric(s.bestMetric, { ...metrics, loss });
    this.evaluatedAt = step;
    this.isDirty = step > 0;
    const isBest = this.best.take(step, { ...metrics, loss });
    if (isBest && s.keepBest && this.folder === undefined)
      this.#bestWeights = this.#learnt.map(({ data }) => data.slice());
    const event = { type: "evaluation", step, loss, metrics, ...(classes && { classes }) } as const;
    this.evaluations.push(event);
    return event;
  }

  /** By the source of its steps, where that has rows to evaluate on. */
  async #evaluateSource(): Promise<Pick<Evaluation, "loss" | "metrics" | "classes"> | undefined> {
    return await this.plan.source.evaluate?.(this.settings.signal);
  }

  /** Throws "training" where a weight is not finite: such a checkpoint would push out good ones. */
  async save(folder: RunFolder): Promise<CheckpointEvent> {
    const { model, keepCheckpoints } = this.settings;
    const bad = this.#parameters.list.filter(({ data }) => !areFinite(data));
    const names = bad.map(({ name }) => name);
    if (names.length > 0) throw weightsNotFinite(names, this);
    await folder.flush();
    const attach = (path: string): Promise<void> => model.saveInCheckpoint(path);
    const options = { keep: keepCheckpoints, attach };
    this.checkpoint = await saveState(folder.checkpoints, this.#state(), options);
    this.isDirty = false;
    const best = this.best.best?.step === this.step;
    return { type: "checkpoint", step: this.step, path: this.checkpoint, best };
  }

  /** Puts the best weights in place of the last; false where they are not to be found. */
  async restoreBest(): Promise<boolean> {
    const { best } = this.best;
    if (best === undefined || best.step === this.step) return true;
    if (this.#bestWeights !== undefined) {
      for (const [i, { data }] of this.#learnt.entries()) data.set(at(this.#bestWeights, i));
      this.#parameters.version++;
      return true;
    }
    for (const folder of this.#kept) {
      const path = nodeFiles.join(folder, `checkpoint-${best.step}`);
      if (!(await nodeFiles.exists(path))) continue;
      this.#restore(await loadState(path));
      return true;
    }
    return false;
  }

  /** What training changes. */
  get #learnt(): readonly Parameter[] {
    return [...this.#parameters.list, ...this.settings.model.allocationState()];
  }

  #restore({ parameters, allocation, seeds, step }: TrainingState): void {
    restoreParameters(this.#parameters, parameters);
    restoreTensors(this.settings.model.allocationState(), allocation);
    this.#parameters.step = seeds["dropoutStep"] ?? step;
  }

  #state(): TrainingState {
    const { best } = this.best;
    return {
      step: this.step,
      epoch: this.plan.source.epoch,
      position: this.plan.source.position,
      seeds: { data: this.settings.seed, dropoutStep: this.#parameters.step },
      counters: {
        ...this.plan.identity,
        tokens: this.tokens,
        seconds: this.clock.seconds,
        lossSum: this.#sum,
        lossCount: this.#count,
        evaluatedAt: this.evaluatedAt,
        stale: this.best.stale,
      },
      ...(best === undefined ? {} : { best }),
      parameters: this.#parameters.list,
      optimizer: this.#optimizer.state(),
      allocation: this.settings.model.allocationState(),
      source: this.plan.source.state?.() ?? [],
    };
  }

  #lossNotFinite(loss: number, batch: Inputs): Error {
    this.#parameters.gradient.fill(0);
    this.#parameters.count = 0;
    const where = this.plan.source.whereIs(batch);
    return lossNotFinite(loss, where, { step: this.step + 1, checkpoint: this.checkpoint });
  }
}

/** Classes that nobody named are the rows': what the run saves can then say what it tells. */
function nameClasses({ model, train, labels }: Settings): void {
  const names = labels ?? labelNames(train);
  const isTold = model.classNames === undefined && taskOf(model.taskType).head.isPerLabel;
  if (isTold && names.length > 0 && names.length === model.config.numLabels) model.nameClasses(names);
}

/** x - x is 0 but for NaN and infinity; a plain loop, as a whole model has many. */
function areFinite(data: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += at(data, i) - at(data, i);
  return sum === 0;
}

/** Real tokens of a batch: those read, and those that a decoder writes. Of what is no text none. */
function tokensOf(batch: Inputs): number {
  let tokens = 0;
  for (const one of batch.attentionMask?.data ?? []) tokens += one;
  const labels = "labels" in batch ? batch.labels : undefined;
  if (labels === undefined || taskOf(batch.task).labels !== "target") return tokens;
  return tokens + [...labels.data].filter((label) => label >= 0).length;
}
