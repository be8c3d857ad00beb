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
import { RunMemory, readAhead } from "./memory/estimate.js";
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
  /** The largest batches so far, by what is computed of them. */
  readonly #sizes: Map<string, BatchSizes> = new Map();
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

  /**
   * Chooses again where batches grew, adapters are others, or a custom loss is new (`custom`: its run). A
   * plan that serves several losses stays. Tells whether the plan is another one now.
   */
  choose(adapters: readonly Adapter[], sizes: BatchSizes, custom?: RunRequest): boolean {
    if (this.#isFixed) return false;
    const structure = adapters.map((adapter) => adapter.structure).join("\n");
    if (structure !== this.#structure) this.#forget(structure);
    const what = custom?.kind ?? "";
    const known = this.#sizes.get(what);
    if (known !== undefined && covers(known, sizes)) return false;
    const isAnother = known === undefined && this.#sizes.size > 0;
    const largest = known === undefined ? sizes : larger(known, sizes);
    this.#sizes.set(what, largest);
    const memory =
      custom === undefined
        ? RunMemory.ofStep(this.#weights, { adapters, ...largest })
        : new RunMemory(this.#weights, custom);
    const { maxMemory, recompute, load } = this.#settings;
    const held = { format: load ?? "f32", stored: this.#stored() };
    if (isAnother) {
      const same = memory.estimate({ ...held, ...this.#plan, plan: this.#plan.name });
      if (same.bytes <= usable(this.#budget)) return this.#take({ plan: this.#plan, estimate: same });
    }
    const strict = maxMemory !== undefined;
    return this.#take(
      choosePlan(memory, { ...held, plan: this.#asked, recompute, budget: this.#budget, strict }),
    );
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

  #forget(structure: string): void {
    this.#sizes.clear();
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
