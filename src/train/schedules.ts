import { PeftError } from "../errors.js";
import { isOneOf, keysOf } from "../narrow.js";
import { joined, option, type Words, words } from "../words.js";

/** How warmup_stable_decay rises and falls. */
export type DecayShape = "linear" | "cosine" | "1-sqrt";

/** How long a schedule is, and how high. */
export interface ScheduleSteps {
  /** The peak. */
  lr: number;
  /** Steps of the rise. @default 0 */
  warmupSteps?: number;
  /** Steps of the whole training. */
  totalSteps: number;
}

/** What single schedules read besides; `schedules` says which reads what, and others refuse it. */
export interface ScheduleExtras {
  /** cosine, cosine_with_min_lr: waves, 0.5. cosine_with_restarts: how many, 1. warmup_stable_decay: 0.5. */
  numCycles?: number;
  /** polynomial: where it ends, 1e-7. */
  lrEnd?: number;
  /** polynomial: 1. */
  power?: number;
  /** inverse_sqrt: the warmup's length, or 10000 without one. */
  timescale?: number;
  /** cosine_with_min_lr: one of the two. */
  minLr?: number;
  minLrRate?: number;
  /** warmup_stable_decay: required. */
  numDecaySteps?: number;
  numStableSteps?: number;
  warmupType?: DecayShape;
  decayType?: DecayShape;
  minLrRatio?: number;
}

/** Steps of a schedule, and what single schedules read besides. */
export type ScheduleOptions = ScheduleSteps & ScheduleExtras;

/** Schedules of the learning rate, by their names in transformers. */
export type ScheduleName =
  | "linear"
  | "cosine"
  | "constant"
  | "constant_with_warmup"
  | "polynomial"
  | "inverse_sqrt"
  | "cosine_with_restarts"
  | "cosine_with_min_lr"
  | "warmup_stable_decay";

type Filled = Required<ScheduleSteps> & ScheduleExtras;

interface Schedule {
  /** Options of its own that it reads. */
  readonly reads: readonly (keyof ScheduleExtras)[];
  /** lr(step) / lr after the warmup; `progress` goes from 0 there to 1 at totalSteps. */
  readonly factor: (o: Filled, step: number, progress: number) => number;
  /** The rise, where it is not the straight line step / warmupSteps. */
  readonly warmup?: (o: Filled, progress: number) => number;
  /** What is missing or contradicts itself. */
  readonly fault?: (o: Filled) => Words | undefined;
}

/** Reference: transformers/optimization.py, get_scheduler; names and numbers are its own. */
export const schedules: { readonly [K in ScheduleName]: Schedule } = {
  linear: { reads: [], factor: (_, __, progress) => Math.max(0, 1 - progress) },
  cosine: {
    reads: ["numCycles"],
    factor: ({ numCycles = 0.5 }, _, progress) => Math.max(0, wave(numCycles * 2 * progress)),
  },
  constant: { reads: [], factor: () => 1, warmup: () => 1 },
  constant_with_warmup: { reads: [], factor: () => 1 },
  polynomial: {
    reads: ["lrEnd", "power"],
    factor: ({ lr, lrEnd = 1e-7, power = 1 }, _, progress) =>
      ((lr - lrEnd) * Math.max(0, 1 - progress) ** power + lrEnd) / lr,
    fault: ({ lr, lrEnd = 1e-7 }) =>
      lrEnd < lr ? undefined : words`${option("lrEnd")} ${lrEnd} is not below ${option("lr")} ${lr}`,
  },
  inverse_sqrt: {
    reads: ["timescale"],
    factor: ({ warmupSteps, timescale = warmupSteps || 10_000 }, step) =>
      1 / Math.sqrt((step + timescale - warmupSteps) / timescale),
  },
  cosine_with_restarts: {
    reads: ["numCycles"],
    factor: ({ numCycles = 1 }, _, progress) => (progress >= 1 ? 0 : wave((numCycles * progress) % 1)),
  },
  cosine_with_min_lr: {
    reads: ["numCycles", "minLr", "minLrRate"],
    factor: ({ lr, numCycles = 0.5, minLr, minLrRate = minLr! / lr }, _, progress) =>
      Math.max(0, above(minLrRate, wave(numCycles * 2 * progress))),
    fault: ({ minLr, minLrRate }) =>
      (minLr === undefined) === (minLrRate === undefined)
        ? words`it needs one of ${option("minLr")} and ${option("minLrRate")}`
        : undefined,
  },
  warmup_stable_decay: {
    reads: ["numDecaySteps", "numStableSteps", "warmupType", "decayType", "minLrRatio", "numCycles"],
    warmup: ({ warmupType = "linear", minLrRatio = 0 }, progress) =>
      above(minLrRatio, rises[warmupType](progress)),
    factor: decayAfterStable,
    fault: ({ numDecaySteps }) =>
      numDecaySteps === undefined ? words`it needs ${option("numDecaySteps")}` : undefined,
  },
};

/** Every schedule's name. */
export const SCHEDULE_NAMES: readonly ScheduleName[] = keysOf(schedules);

/**
 * The learning rate of one step, counted from 0; scripts that resume ask again and get the same number.
 * Reference: transformers/optimization.py, get_scheduler
 * @throws "option" for an unknown name and for options that the schedule does not read or still needs
 * @example
 * ```ts
 * import { AdamW, learningRate } from "peft.js";
 *
 * const optimizer = new AdamW(model.trainableParameters());
 * optimizer.lr = learningRate("cosine", { lr: 1e-3, warmupSteps: 10, totalSteps: 100 }, optimizer.steps);
 * ```
 */
export function learningRate(name: ScheduleName, options: ScheduleOptions, step: number): number {
  const filled: Filled = { ...options, warmupSteps: options.warmupSteps ?? 0 };
  checkSchedule(name, filled);
  const { factor, warmup } = schedules[name];
  const { lr, warmupSteps, totalSteps } = filled;
  if (step < warmupSteps) {
    const progress = step / warmupSteps;
    return lr * (warmup ? warmup(filled, progress) : progress);
  }
  return lr * factor(filled, step, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
}

function decayAfterStable(o: Filled, step: number): number {
  const { numDecaySteps = 0, numStableSteps = o.totalSteps - o.warmupSteps - numDecaySteps } = o;
  const { decayType = "cosine", minLrRatio = 0, numCycles = 0.5 } = o;
  const decayed = step - o.warmupSteps - numStableSteps;
  if (decayed < 0) return 1;
  if (decayed >= numDecaySteps) return minLrRatio;
  return Math.max(0, above(minLrRatio, falls[decayType](decayed / numDecaySteps, numCycles)));
}

const rises: { readonly [K in DecayShape]: (progress: number) => number } = {
  linear: (progress) => progress,
  cosine: (progress) => 1 - wave(progress),
  "1-sqrt": (progress) => 1 - Math.sqrt(1 - progress),
};

const falls: { readonly [K in DecayShape]: (progress: number, numCycles: number) => number } = {
  linear: (progress) => 1 - progress,
  cosine: (progress, numCycles) => wave(numCycles * 2 * progress),
  "1-sqrt": (progress) => 1 - Math.sqrt(progress),
};

/** 1 at 0, 0 at 1, and on as a cosine does. */
function wave(x: number): number {
  return 0.5 * (1 + Math.cos(Math.PI * x));
}

/** A factor in [0, 1] laid over a floor. */
function above(floor: number, factor: number): number {
  return factor * (1 - floor) + floor;
}

/** Said before training starts, too: every fault of the options at once. */
export function checkSchedule(name: ScheduleName, options: ScheduleOptions): void {
  if (!Object.hasOwn(schedules, name)) {
    throw new PeftError("option", {
      what: `No learning rate schedule is named ${JSON.stringify(name)}.`,
      why: `known are ${Object.keys(schedules).join(", ")}.`,
      fix: words`use ${option("schedule", "linear")}.`,
    });
  }
  const faults = scheduleFaults(name, options);
  if (faults.length === 0) return;
  throw new PeftError("option", {
    what: words`The schedule ${name} cannot run: ${joined(faults, "; ")}.`,
    why: words`${name} reads ${optionNames(["lr", "warmupSteps", "totalSteps", ...schedules[name].reads])}.`,
    fix: "remove or set the options named above.",
  });
}

function scheduleFaults(name: ScheduleName, options: ScheduleOptions): Words[] {
  const { reads, fault } = schedules[name];
  const { lr, warmupSteps = 0, totalSteps, ...extras } = options;
  const faults: Words[] = [];
  if (!(lr >= 0 && Number.isFinite(lr))) faults.push(words`${option("lr")} is ${lr}`);
  if (!(Number.isInteger(warmupSteps) && warmupSteps >= 0))
    faults.push(words`${option("warmupSteps")} is ${warmupSteps}`);
  if (!(Number.isInteger(totalSteps) && totalSteps > 0))
    faults.push(words`${option("totalSteps")} is ${totalSteps}`);
  const given = Object.entries(extras).filter(([, value]) => value !== undefined);
  const unread = given.filter(([key]) => !isOneOf(key, reads)).map(([key]) => key);
  if (unread.length > 0) faults.push(words`it does not read ${optionNames(unread)}`);
  const own = fault?.({ ...options, warmupSteps });
  if (own !== undefined) faults.push(own);
  return faults;
}

function optionNames(names: readonly string[]): Words {
  return joined(names.map((name) => option(name)));
}
