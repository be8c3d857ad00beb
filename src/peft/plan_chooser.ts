import { bytesOf } from "../engine/formats/format.js";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import { isHalf } from "../halves.js";
import type { Adapter } from "./adapter.js";
import { choosePlan, SAFE } from "./choose_plan.js";
import type { MemoryEstimate } from "./memory.js";
import { readAhead } from "./memory.js";
import type { BatchSizes } from "./memory_batch.js";
import { freeMemory, parseBytes } from "./memory_size.js";
import type { Plan, PlanName } from "./plan_run.js";
import type { BoundWeights } from "./weights.js";

export interface PlanSettings {
  /** Default: auto, the fastest that fits. */
  readonly plan?: PlanName | "auto" | undefined;
  /** What a step may take: "4GB", or bytes. Default: what is free. */
  readonly maxMemory?: string | number | undefined;
  /** How many blocks, from the first, are computed again on the way back where a step runs block by block. Default: by the budget. */
  readonly recompute?: number | undefined;
  /** What f16 and bf16 are brought to: see LoadOptions. */
  readonly load?: FormatName | undefined;
}

const ALL = Number.POSITIVE_INFINITY;

/** Holds a model to a plan: the one that is asked for, or the one that fits the budget, found when the first batch is known. */
export class PlanChooser {
  readonly #weights: BoundWeights;
  readonly #settings: PlanSettings;
  readonly #budget: number;
  /** Undefined: the one that fits. */
  readonly #asked: PlanName | undefined;
  #plan: Plan;
  #sizes: BatchSizes = { batch: 0, seq: 0, target: 0 };
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

  /** Bytes of the budget that the plan's estimate leaves. */
  get spare(): number {
    return this.estimate === undefined ? ALL : Math.max(0, SAFE * this.#budget - this.estimate.bytes);
  }

  /** Chooses anew where batches grew or adapters are others. Tells whether the plan is another one now. */
  choose(adapter: Adapter, sizes: BatchSizes): boolean {
    if (this.#isFixed || this.#covers(adapter, sizes)) return false;
    const known = this.#sizes;
    const { maxMemory, recompute, load } = this.#settings;
    this.#sizes = {
      batch: Math.max(known.batch, sizes.batch),
      seq: Math.max(known.seq, sizes.seq),
      target: Math.max(known.target ?? 0, sizes.target ?? 0),
    };
    this.#structure = adapter.structure;
    const chosen = choosePlan(
      this.#weights,
      { adapter, ...this.#sizes },
      {
        plan: this.#asked,
        recompute,
        format: load ?? "f32",
        stored: this.#stored(),
        budget: this.#budget,
        strict: maxMemory !== undefined,
      },
    );
    const before = this.#plan;
    this.#plan = chosen.plan;
    this.estimate = { ...chosen.estimate, plan: chosen.plan };
    return (Object.keys(before) as (keyof Plan)[]).some((key) => before[key] !== chosen.plan[key]);
  }

  /** A plan without a budget is taken as it is. */
  get #isFixed(): boolean {
    return this.#asked !== undefined && this.#settings.maxMemory === undefined;
  }

  #covers(adapter: Adapter, { batch, seq, target = 0 }: BatchSizes): boolean {
    const known = this.#sizes;
    const fits = batch <= known.batch && seq <= known.seq && target <= (known.target ?? 0);
    return fits && adapter.structure === this.#structure;
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
