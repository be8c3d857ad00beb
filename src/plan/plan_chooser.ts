import type { Adapter } from "../adapters/adapter.js";
import { bytesOf } from "../engine/formats/format.js";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import type { PeftError } from "../errors.js";
import { isHalf } from "../halves.js";
import { keysOf } from "../narrow.js";
import type { BoundWeights } from "../weights/weights.js";
import type { ChosenPlan } from "./choose_plan.js";
import { BESIDE, budgetFor, choosePlan, scarceMemory, usable } from "./choose_plan.js";
import type { BatchSizes } from "./memory/batch.js";
import type { MemoryEstimate } from "./memory/estimate.js";
import { largestOf, RunMemory, readAhead } from "./memory/estimate.js";
import { freeMemory, parseBytes } from "./memory/sizes.js";
import type { Plan, PlanName, RunRequest } from "./plan.js";

export interface PlanSettings {
  /** Default: auto, the fastest that fits. */
  readonly plan?: PlanName | "auto" | undefined;
  /** What a step may take: "4GB", or bytes. Default: what is free. */
  readonly maxMemory?: string | number | undefined;
  /**
   * How many blocks, from the first, are computed again on the way back where a step runs block by block.
   * Default: by the budget.
   */
  readonly recompute?: number | undefined;
  /** What f16 and bf16 are brought to: see LoadOptions. */
  readonly load?: FormatName | undefined;
}

const ALL = Number.POSITIVE_INFINITY;

/** Runs whose memory is to be planned. */
export interface RunsToPlan {
  /** What they compute: the same for batches of all sizes. */
  readonly what: string;
  /** Steps of training: where a budget that was said is too small for them, that is an error. */
  readonly isStep: boolean;
  readonly adapters: readonly Adapter[];
  readonly sizes: BatchSizes;
  /** The runs with the largest batch, of these sizes. */
  readonly requests: (largest: BatchSizes) => Promise<readonly RunRequest[]> | readonly RunRequest[];
}

interface PlannedRuns {
  readonly isStep: boolean;
  readonly largest: BatchSizes;
  readonly memory: readonly RunMemory[];
}

/**
 * Holds a model to a plan: the one that is asked for, or the one that fits the budget, found when the first
 * batch is known.
 */
export class PlanChooser {
  readonly #weights: BoundWeights;
  readonly #settings: PlanSettings;
  readonly #budget: number;
  /** Undefined: the one that fits. */
  readonly #asked: PlanName | undefined;
  #plan: Plan;
  /** What was planned so far. */
  readonly #planned: Map<string, PlannedRuns> = new Map();
  #structure = "";
  estimate: (MemoryEstimate & { readonly plan: Plan }) | undefined;

  /** Throws "option" for sizes that are none. */
  constructor(weights: BoundWeights, settings: PlanSettings) {
    this.#weights = weights;
    this.#settings = settings;
    this.#budget = settings.maxMemory === undefined ? freeMemory() : parseBytes(settings.maxMemory);
    this.#asked = settings.plan === "auto" ? undefined : settings.plan;
    const name = this.#asked ?? this.#beforeTraining();
    this.#plan = {
      name,
      recompute: settings.recompute ?? ALL,
      keep: name === "streamed" ? (this.#isFixed ? this.#readAhead() : this.#budget / 2) : ALL,
    };
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** Bytes that steps may take, where that was said. */
  get limit(): number | undefined {
    return this.#settings.maxMemory === undefined ? undefined : this.#budget;
  }

  /**
   * Bytes that there were when the model was loaded, this process's own included; or those that were said.
   */
  get budget(): number {
    return this.#budget;
  }

  /** Bytes of the budget that the plan's estimate does not use. */
  get unusedBudget(): number {
    return this.estimate === undefined ? ALL : Math.max(0, usable(this.#budget) - this.estimate.bytes);
  }

  /**
   * Bytes that arenas of all sessions may take: those of a step, some beside it, and half of what is left.
   */
  get arenas(): number {
    const { estimate } = this;
    if (estimate !== undefined) return estimate.parts.activations + BESIDE + this.unusedBudget / 2;
    return this.#plan.name === "streamed" ? 0 : ALL;
  }

  /** Whether there is nothing to choose: batches as large were planned for, or the plan is fixed. */
  covers({ what, isStep, adapters, sizes }: Omit<RunsToPlan, "requests">): boolean {
    if (this.#isFixed) return true;
    const structure = structureOf(adapters);
    const known = this.#planned.get(isStep ? what : `${what}\n${structure}`);
    return (!isStep || structure === this.#structure) && known !== undefined && covers(known.largest, sizes);
  }

  /**
   * Chooses the plan again where batches grew, adapters that train are others, or something else is
   * computed. One that serves all that was planned stays. What is no step and fits by no plan runs by the one
   * that takes least, or that steps have. Tells whether the plan is another one now. @throws "option"
   */
  async choose(runs: RunsToPlan): Promise<boolean> {
    if (this.covers(runs)) return false;
    const { what, isStep, adapters, sizes, requests } = runs;
    const structure = structureOf(adapters);
    if (isStep && structure !== this.#structure) this.#forget(structure);
    const key = isStep ? what : `${what}\n${structure}`;
    const known = this.#planned.get(key);
    const largest = known === undefined ? sizes : larger(known.largest, sizes);
    const memory: RunMemory[] = [];
    for (const request of await requests(largest))
      memory.push(new RunMemory(this.#weights, request, known?.memory[memory.length] ?? memory.at(-1)));
    const isOther = this.#planFor([...this.#others(key), { isStep, memory }], isStep);
    this.#planned.set(key, { isStep, largest, memory });
    return isOther;
  }

  /** An engine's want of memory in a run, told with the smallest budget that a run of its batch does with. */
  outOfMemory(error: PeftError, request: RunRequest): PeftError {
    const held = { format: this.#settings.load ?? "f32", stored: this.#stored() };
    const isStep = request.sizes !== undefined;
    const least = new RunMemory(this.#weights, request).estimate({
      ...held,
      plan: "streamed",
      ...(isStep ? { keep: 0 } : {}),
    });
    return scarceMemory(error, budgetFor(least.bytes), isStep);
  }

  #others(key: string): PlannedRuns[] {
    return [...this.#planned].flatMap(([name, runs]) => (name === key ? [] : [runs]));
  }

  #planFor(runs: readonly Pick<PlannedRuns, "isStep" | "memory">[], isStep: boolean): boolean {
    const { maxMemory, recompute, load } = this.#settings;
    const held = { format: load ?? "f32", stored: this.#stored() };
    const limit = usable(this.#budget);
    const all = largestOf(runs.flatMap(({ memory }) => memory));
    if (this.estimate !== undefined) {
      const same = all.estimate({ ...held, ...this.#plan, plan: this.#plan.name });
      if (same.bytes <= limit) return this.#take({ plan: this.#plan, estimate: same });
    }
    const question = { ...held, plan: this.#asked, recompute, budget: this.#budget };
    const chosen = choosePlan(all, { ...question, strict: false });
    const steps = runs.filter((each) => each.isStep).flatMap(({ memory }) => memory);
    if (chosen.estimate.bytes <= limit || steps.length === 0) return this.#take(chosen);
    if (!isStep) return false;
    return this.#take(choosePlan(largestOf(steps), { ...question, strict: maxMemory !== undefined }));
  }

  #forget(structure: string): void {
    this.#planned.clear();
    this.#structure = structure;
    this.estimate = undefined;
  }

  #take({ plan, estimate }: ChosenPlan): boolean {
    const before = this.#plan;
    const isOther = keysOf(before).some((key) => before[key] !== plan[key]);
    if (isOther || this.estimate === undefined || estimate.bytes > this.estimate.bytes)
      this.estimate = { ...estimate, plan };
    this.#plan = plan;
    return isOther;
  }

  /** A plan without a budget is taken as it is. */
  get #isFixed(): boolean {
    return this.#asked !== undefined && this.#settings.maxMemory === undefined;
  }

  /** Until a step of training tells more: in one piece, if the weights leave half of the budget. */
  #beforeTraining(): PlanName {
    const casts = isHalf(this.#settings.load);
    let bytes = 0;
    for (const { format, shape, transposed } of this.#weights.sources.values()) {
      bytes += bytesOf(formats[isHalf(format) && !casts ? "f32" : format], shape, transposed);
    }
    return bytes <= this.#budget / 2 ? "fused" : "streamed";
  }

  #readAhead(): number {
    const { sources, inventory } = this.#weights;
    const sizes = [...sources].map(([name, { format, shape, transposed }]) => {
      return [name, bytesOf(formats[format], shape, transposed)] as const;
    });
    return readAhead(inventory, sizes);
  }

  /** What most of the weights that are no linear layers' are stored in. */
  #stored(): "f32" | "f16" | "bf16" {
    const counts = { f32: 0, f16: 0, bf16: 0 };
    for (const { format, shape } of this.#weights.sources.values())
      if (format === "f32" || isHalf(format)) counts[format] += bytesOf(formats[format], shape);
    if (counts.f32 >= counts.f16 + counts.bf16) return "f32";
    return counts.f16 > counts.bf16 ? "f16" : "bf16";
  }
}

function structureOf(adapters: readonly Adapter[]): string {
  return adapters.map((adapter) => adapter.structure).join("\n");
}

/** All sizes of a batch as numbers, defaults and dimensions by their names included. */
function allSizes({ dims = {}, ...sizes }: BatchSizes): Map<string, number> {
  const { batch, seq = 0, target = 0, labels = seq, tokens = batch * seq } = sizes;
  return new Map(Object.entries({ ...dims, batch, seq, target, labels, tokens }));
}

function covers(known: BatchSizes, sizes: BatchSizes): boolean {
  const most = allSizes(known);
  return [...allSizes(sizes)].every(([name, size]) => size <= (most.get(name) ?? 0));
}

function larger(a: BatchSizes, b: BatchSizes): BatchSizes {
  const [x, y] = [allSizes(a), allSizes(b)];
  const names = new Set([...x.keys(), ...y.keys()]);
  const most = [...names].map((name) => [name, Math.max(x.get(name) ?? 0, y.get(name) ?? 0)] as const);
  const { batch = 0, seq = 0, target = 0, labels = 0, tokens = 0, ...dims } = Object.fromEntries(most);
  return { batch, seq, target, labels, tokens, dims };
}
