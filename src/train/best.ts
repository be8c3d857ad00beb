import type { TrainingState } from "./saved_state.js";
import type { EarlyStopping } from "./trainer_options.js";

type Best = NonNullable<TrainingState["best"]>;

/** The best evaluation so far, and for how many evaluations there was none better. */
export class BestSoFar {
  readonly metric: string;
  best: Best | undefined;
  stale = 0;
  readonly #sign: 1 | -1;
  readonly #stopping: EarlyStopping | undefined;

  /** @param betterIs which way the metric is better */
  constructor(metric: string, betterIs: "higher" | "lower", stopping: EarlyStopping | undefined) {
    this.metric = metric;
    this.#sign = betterIs === "lower" ? -1 : 1;
    this.#stopping = stopping;
  }

  /**
   * Takes an evaluation in; true where it is the best. One without the metric (no row has an answer) counts
   * as no better.
   */
  take(step: number, values: Readonly<Record<string, number>>): boolean {
    const value = values[this.metric] ?? Number.NaN;
    const { minDelta = 0 } = this.#stopping ?? {};
    const better =
      Number.isFinite(value) &&
      (this.best === undefined || this.#sign * (value - this.best.value) > Math.max(0, minDelta));
    this.stale = better ? 0 : this.stale + 1;
    if (better) this.best = { step, metric: this.metric, value };
    return better;
  }

  get isOver(): boolean {
    return this.#stopping !== undefined && this.stale >= this.#stopping.patience;
  }
}
