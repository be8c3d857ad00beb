import { expectArgument, type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { type Parameter, Parameters } from "../graph/parameters.js";
import { nextTurn } from "../platform.js";
import { joined, option, type Words, words } from "../words.js";
import { restoreTensors } from "./restore.js";

/** Constants of AdamW. */
export interface AdamWOptions {
  /** The learning rate. @default 1e-3 */
  lr?: number;
  /** How slowly the two moments follow the gradient. @default [0.9, 0.999] */
  betas?: readonly [number, number];
  /** Keeps the division by small second moments in bounds. @default 1e-8 */
  eps?: number;
  /** What a parameter loses in a step: lr * weightDecay of itself. @default 0.01 */
  weightDecay?: number;
  /** Clips the gradient's global norm, as torch.nn.utils.clip_grad_norm_. @default no limit */
  maxGradNorm?: number;
  /** Which parameters decay, by name. @default all */
  decayOnly?: (name: string) => boolean;
  /** The learning rate of a parameter, of `lr` as it is in this step: `loraPlus(16)`. @default lr for all */
  lrOf?: (parameter: Pick<Parameter, "name" | "shape">, lr: number) => number;
}

/**
 * LoRA+ (arXiv 2402.12354): B, and what has one dimension, learn `ratio` times as fast as A; LoRA on
 * embeddings has `embeddingLr`. Reference: peft/optimizers/loraplus.py
 * @example
 * ```ts
 * import { AdamW, loraPlus } from "peft.js";
 *
 * const optimizer = new AdamW(model.trainableParameters(), { lr: 2e-4, lrOf: loraPlus(16) });
 * ```
 */
export function loraPlus(ratio: number, embeddingLr = 1e-6): NonNullable<AdamWOptions["lrOf"]> {
  return ({ name, shape }, lr) => {
    if (name.includes("lora_embedding_")) return embeddingLr;
    return name.includes("lora_B") || shape.length === 1 ? lr * ratio : lr;
  };
}

const adamwNames: NamesOf<AdamWOptions> = {
  lr: { also: ["learning_rate"] },
  betas: { also: ["adam_beta1", "adam_beta2"] },
  eps: { also: ["epsilon", "adam_epsilon"] },
  weightDecay: {},
  maxGradNorm: { also: ["max_norm", "grad_clip"] },
  decayOnly: {},
  lrOf: {},
};

/** Options of an optimizer's step. */
export interface StepOptions {
  /**
   * Reduces the flat gradient SUM over machines, in place, before it is divided. The count grows with it:
   * the hook then sets `parameters.count`, which is read after it.
   */
  reduce?: (flat: Float32Array, count: number) => Promise<void> | void;
}

/** What an optimizer's step was taken by. */
export interface StepResult {
  /** Global norm of the mean gradient, before clipping. */
  gradNorm: number;
  /** What the gradient's sum was divided by. */
  count: number;
}

/** Moments by torch's names, `exp_avg.<name>` and `exp_avg_sq.<name>`: views, which the next step changes. */
export interface AdamWState {
  /** Steps taken. */
  step: number;
  /** exp_avg and exp_avg_sq of every parameter. */
  tensors: readonly Parameter[];
}

interface Moments {
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** The constants of one step, each rounded to f32 where torch rounds it. */
interface StepConstants {
  scale: number;
  count: number;
  decay: number;
  beta1: number;
  beta2: number;
  blend1: number;
  blend2: number;
  sqrtCorrection2: number;
  eps: number;
  stepSize: number;
}

/** Elements worked on before the event loop gets its turn: about a millisecond. */
const SLICE = 1 << 16;
const f32 = Math.fround;

/**
 * AdamW, in f32 and in torch's order of operations, over the flat gradient of `Parameters`:
 * p <- p (1 - lr decay); m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g g;
 * p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).
 * Paper: arXiv 1711.05101. Reference: torch/optim/adam.py, _single_tensor_adam with decoupled weight decay
 * @example
 * ```ts
 * import { AdamW } from "peft.js";
 *
 * const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-3, maxGradNorm: 1 });
 * await model.forwardBackward(batch); // once, or for each of several batches that make one step
 * const { gradNorm } = await optimizer.step();
 * ```
 */
export class AdamW {
  /** The learning rate of the next step: schedules set it. */
  lr: number;
  /** What it trains. */
  readonly parameters: Parameters;
  readonly #options: Required<Omit<AdamWOptions, "lr" | "maxGradNorm">> & { maxGradNorm: number };
  readonly #moments: readonly Moments[];
  #step = 0;
  #busy = false;

  /** @throws "option" for values outside their range */
  constructor(parameters: Parameters, options: AdamWOptions = {}) {
    expectArgument("new AdamW", parameters, {
      is: parameters instanceof Parameters,
      wants: "parameters",
      fix: "give a model's: new AdamW(model.trainableParameters(), { lr: 1e-3 }).",
    });
    refuseUnknown("new AdamW", options, adamwNames);
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    const { maxGradNorm = Number.POSITIVE_INFINITY, decayOnly = () => true, lrOf = (_, lr) => lr } = options;
    checkOptions({ lr, betas, eps, weightDecay, maxGradNorm });
    this.lr = lr;
    this.parameters = parameters;
    this.#options = { betas, eps, weightDecay, maxGradNorm, decayOnly, lrOf };
    this.#moments = parameters.list.map(({ data }) => ({
      first: new Float32Array(data.length),
      second: new Float32Array(data.length),
    }));
  }

  /** Steps taken, over all runs. */
  get steps(): number {
    return this.#step;
  }

  /**
   * One step on the gathered gradient, which is zeroed after it. Waits for runs of the model that were called
   * before, and those that are called meanwhile wait for it. Works in slices, so timers keep running.
   * @throws "training" where there is nothing to average or the gradient is not finite, before any change
   */
  async step(options: StepOptions = {}): Promise<StepResult> {
    refuseUnknown("step", options, { reduce: {} });
    const { reduce } = options;
    if (this.#busy) throw overlapping();
    this.#busy = true;
    try {
      return await this.parameters.change(() => this.#take(reduce));
    } finally {
      this.#busy = false;
    }
  }

  async #take(reduce: StepOptions["reduce"]): Promise<StepResult> {
    const { parameters } = this;
    await reduce?.(parameters.gradient, parameters.count);
    const count = parameters.count;
    if (!(count > 0)) throw nothingToAverage(count);
    const gradNorm = await this.#gradNorm(count);
    await this.#update(gradNorm, count);
    parameters.count = 0;
    parameters.version++;
    parameters.step++;
    return { gradNorm, count };
  }

  /** The moments, for a checkpoint. */
  state(): AdamWState {
    const tensors = this.parameters.list.flatMap(({ name, shape }, i) => {
      const { first, second } = this.#moments[i]!;
      return [
        { name: `exp_avg.${name}`, shape, data: first },
        { name: `exp_avg_sq.${name}`, shape, data: second },
      ];
    });
    return { step: this.#step, tensors };
  }

  /** Takes the moments of a checkpoint. @throws "checkpoint" with every name or shape that does not fit */
  load(state: AdamWState): void {
    restoreTensors(this.state().tensors, state.tensors);
    this.#step = state.step;
  }

  /** ||gradient / count||, finite exactly where every element is: squares of f32 cannot overflow in f64. */
  async #gradNorm(count: number): Promise<number> {
    const { gradient } = this.parameters;
    let sum = 0;
    for (let start = 0; start < gradient.length; start += SLICE) {
      if (start > 0) await nextTurn();
      sum += sumOfSquares(gradient.subarray(start, start + SLICE), count);
    }
    if (!Number.isFinite(sum)) throw notFinite(this.parameters, this.#step + 1);
    return f32(Math.sqrt(sum));
  }

  async #update(gradNorm: number, count: number): Promise<void> {
    const { parameters } = this;
    const { maxGradNorm, decayOnly, lrOf } = this.#options;
    this.#step += 1;
    const scale =
      maxGradNorm === Number.POSITIVE_INFINITY ? 1 : Math.min(1, f32(maxGradNorm / f32(gradNorm + 1e-6)));
    parameters.keep(scale);
    let worked = 0;
    for (const [i, p] of parameters.list.entries()) {
      const constants = this.#constants(scale, count, decayOnly(p.name), lrOf(p, this.lr));
      const { first, second } = this.#moments[i]!;
      const gradient = parameters.gradientOf(i);
      for (let start = 0; start < p.data.length; start += SLICE) {
        const end = Math.min(start + SLICE, p.data.length);
        if ((worked += end - start) > SLICE) {
          await nextTurn();
          worked = end - start;
        }
        updateSlice(p.data, gradient, first, second, start, end, constants);
      }
    }
  }

  #constants(scale: number, count: number, decays: boolean, lr: number): StepConstants {
    const { betas, eps, weightDecay } = this.#options;
    const [beta1, beta2] = betas;
    return {
      scale,
      count,
      decay: decays ? f32(1 - lr * weightDecay) : 1,
      beta1: f32(1 - f32(1 - beta1)),
      beta2: f32(beta2),
      blend1: f32(1 - beta1),
      blend2: f32(1 - beta2),
      sqrtCorrection2: f32(Math.sqrt(1 - beta2 ** this.#step)),
      eps: f32(eps),
      stepSize: f32(-(lr / (1 - beta1 ** this.#step))),
    };
  }
}

/**
 * p <- p (1 - lr decay); m <- m + (1 - beta1)(g - m); v <- beta2 v + (1 - beta2) g g;
 * p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps); g <- 0
 */
function updateSlice(
  p: Float32Array,
  gradient: Float32Array,
  first: Float32Array,
  second: Float32Array,
  start: number,
  end: number,
  c: StepConstants,
): void {
  for (let i = start; i < end; i++) {
    const g = f32(f32(gradient[i]! / c.count) * c.scale);
    const difference = f32(g - first[i]!);
    // torch's lerp turns its formula round where the weight is 0.5 or more
    const m = c.blend1 < 0.5 ? f32(first[i]! + c.blend1 * difference) : f32(g - c.beta1 * difference);
    const v = f32(f32(c.beta2 * second[i]!) + f32(f32(c.blend2 * g) * g));
    const denominator = f32(f32(f32(Math.sqrt(v)) / c.sqrtCorrection2) + c.eps);
    p[i] = f32(f32(p[i]! * c.decay) + f32(f32(c.stepSize * m) / denominator));
    first[i] = m;
    second[i] = v;
    gradient[i] = 0;
  }
}

function sumOfSquares(gradient: Float32Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < gradient.length; i++) {
    const g = f32(gradient[i]! / count);
    sum += g * g;
  }
  return sum;
}

function checkOptions(o: Required<Omit<AdamWOptions, "decayOnly" | "lrOf">>): void {
  const faults: Words[] = [];
  const nonNegative = (name: string, value: number): void => {
    if (!(value >= 0 && Number.isFinite(value))) faults.push(words`${option(name, value)} (a number >= 0)`);
  };
  nonNegative("lr", o.lr);
  nonNegative("eps", o.eps);
  nonNegative("weightDecay", o.weightDecay);
  for (const beta of o.betas)
    if (!(beta >= 0 && beta < 1)) faults.push(words`${option("betas", beta)} (0 <= beta < 1)`);
  if (!(o.maxGradNorm > 0)) faults.push(words`${option("maxGradNorm", o.maxGradNorm)} (a number > 0)`);
  if (faults.length === 0) return;
  throw new PeftError("option", {
    what: words`AdamW cannot run with ${joined(faults)}.`,
    why: "outside these ranges its formula grows without bound or divides by zero.",
    fix: words`leave them out for the defaults: ${option("lr")} 1e-3, ${option("betas")} [0.9, 0.999], ${option("eps")} 1e-8, ${option("weightDecay")} 0.01.`,
  });
}

const overlapping = (): PeftError =>
  new PeftError("training", {
    what: "step() was called while another step of this optimizer was running.",
    why: "both would read and zero the same gradient.",
    fix: "await optimizer.step().",
  });

const nothingToAverage = (count: number): PeftError =>
  new PeftError("training", {
    what: `step() found no gradient: the number of labelled tokens is ${count}.`,
    why: "no forwardBackward ran since the last step, or every label in its batches was masked.",
    fix: "call model.forwardBackward(batch) first, with at least one label that is not -100.",
  });

function notFinite(parameters: Parameters, step: number): PeftError {
  const bad = parameters.list.filter((_, i) => !parameters.gradientOf(i).every(Number.isFinite));
  const names = bad.slice(0, 5).map(({ name }) => name);
  const more = bad.length > names.length ? ` and ${bad.length - names.length} more` : "";
  return new PeftError("training", {
    what: `Step ${step}: the gradient is NaN or infinite in ${names.join(", ")}${more}.`,
    why: `${bad.length} of ${parameters.list.length} trainable tensors hold such values; no weight changed.`,
    fix: words`resume from the last checkpoint with a smaller ${option("lr")}, or set ${option("maxGradNorm", 1)}.`,
  });
}
