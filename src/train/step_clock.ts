/**
 * How fast a run goes. The first step compiles and says nothing about the others, so it counts only while it
 * is alone.
 */
export class StepClock {
  readonly #now: () => number;
  #began: number;
  #before = 0;
  #steps = 0;
  #milliseconds = 0;
  #tokens = 0;
  #firstEnded = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#began = now();
  }

  /** Begins anew, after `seconds` of runs before this one. */
  start(seconds: number): void {
    this.#began = this.#now();
    this.#before = seconds;
  }

  tick(milliseconds: number, tokens: number): void {
    this.#steps++;
    if (this.#steps === 1) this.#firstEnded = this.#now();
    if (this.#steps === 2) [this.#milliseconds, this.#tokens] = [0, 0];
    this.#milliseconds += milliseconds;
    this.#tokens += tokens;
  }

  /** Of the whole run, evaluations and all. */
  get seconds(): number {
    return this.#before + (this.#now() - this.#began) / 1000;
  }

  /** Of training alone. */
  get tokensPerSecond(): number {
    return this.#tokens / Math.max(this.#milliseconds / 1000, 1e-9);
  }

  /** With what comes between steps. */
  get secondsPerStep(): number {
    if (this.#steps < 2) return this.#milliseconds / 1000;
    return (this.#now() - this.#firstEnded) / 1000 / (this.#steps - 1);
  }
}
