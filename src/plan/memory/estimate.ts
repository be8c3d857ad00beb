import type { Adapter } from "../../adapters/adapter.js";
import type { ScheduleBytes, StoredAs } from "../../engine/estimate/estimate.js";
import { estimateSchedule } from "../../engine/estimate/estimate.js";
import { bytesOf, elements } from "../../engine/formats/format.js";
import type { FormatName } from "../../engine/formats/index.js";
import { formats } from "../../engine/formats/index.js";
import { fits } from "../../engine/formats/stack.js";
import type { Schedule } from "../../engine/messages.js";
import { internal } from "../../errors.js";
import { isHalf } from "../../halves.js";
import { at } from "../../present.js";
import type { Quantizable } from "../../weights/quantizable.js";
import { HEAD_FORMAT, headCopy, quantizable } from "../../weights/quantizable.js";
import type { BoundWeights } from "../../weights/weights.js";
import type { Plan, PlanName, RunRequest, WrittenRun } from "../plan.js";
import { layOut, programName, writeRun } from "../plan.js";
import type { Names } from "../planned.js";
import { backwardRequest, forwardRequest, lossRequest, methodInputs } from "../requests.js";
import type { BatchSizes } from "./batch.js";
import { fakeBatch } from "./batch.js";

/** A model as counting needs it: from config.json alone. */
export type Countable = Pick<BoundWeights, "spec" | "inventory">;

/** A training step to be counted. */
export interface TrainingShape extends BatchSizes {
  /** All that are active. */
  readonly adapters: readonly Adapter[];
}

/**
 * What memory is planned for: a step of training, the loss alone, logits with the loss, or generation. The
 * first three are `forwardBackward`, `lossOf` and `forward`.
 */
export type RunPurpose = "training" | "loss" | "forward" | "generation";

/** How weights are held and steps run. */
export interface MemoryChoice {
  readonly plan: PlanName;
  /** Of linear layers inside of blocks; with one of 8 or 4 bits, the head is in 8. */
  readonly format: FormatName;
  /** What the checkpoint has the other weights in; default: f32. */
  readonly stored?: "f32" | "f16" | "bf16";
  /** Bytes of block weights that stay in memory; default: of two blocks where streamed, else all. */
  readonly keep?: number;
  /** Blocks that are computed again on the way back; default: all. */
  readonly recompute?: number;
}

/** Peak memory by what it is for, in bytes. */
export interface MemoryParts {
  /** Node, ONNX Runtime, programs. */
  readonly process: number;
  /** Weights held in memory, blocks' apart. */
  readonly weights: number;
  /** Blocks' weights that are in memory at a time. */
  readonly blocks: number;
  /** What a step touches of weights mapped from files. */
  readonly mapped: number;
  /** Intermediate results inside of sessions. */
  readonly activations: number;
  /** Results that pass between blocks. */
  readonly boundaries: number;
  /** Buffers that wait for the garbage collector. */
  readonly garbage: number;
  /** Adapters: values, their copy in the engine, gradients, the optimizer's state. */
  readonly trained: number;
}

/** Peak memory of a step, as it is expected: right within 15 %. */
export interface MemoryEstimate {
  /** The sum of the parts. */
  readonly bytes: number;
  /** What it is for. */
  readonly parts: MemoryParts;
}

/**
 * Measured, see tools/memory: a process with the package and ONNX Runtime loaded; each node that a session
 * has; each that was traced.
 */
const PROCESS = 100 << 20;
const PER_NODE = 7.5 * 1024;
const PER_STEP_NODE = 1024;
/** Buffers that JavaScript does not use any more may grow to this before V8 collects them. */
const MOST_GARBAGE = 64 << 20;
const GARBAGE_STEPS = 1.5;
const ALL = Number.POSITIVE_INFINITY;
/**
 * Copies of each number of an adapter: values twice; in training also its gradient three times (summed,
 * packed, as results), two moments.
 */
const COPIES = 2;
const TRAINED_COPIES = 7;

/** What runs of one program share, whatever their sizes. */
interface Traced {
  readonly name: string;
  run: WrittenRun | undefined;
  readonly schedules: Map<string, Schedule>;
}

/** What takes memory, as choosing a plan asks it. */
export type Estimated = Pick<RunMemory, "blocks" | "estimate">;

/** Schedules of a run, which formats and budgets do not change. */
export class RunMemory {
  readonly #model: Countable;
  readonly #request: RunRequest;
  readonly #traced: Traced;
  /** Arenas by program, for each schedule and format. */
  readonly #arenas: Map<string, Map<string, number>> = new Map();
  /** Weights that formats of 8 and 4 bits are for. */
  readonly #quantized: ReadonlyMap<string, Quantizable>;

  /** @param same - of a run that may be the same with other sizes: what is traced then is not traced again */
  constructor(model: Countable, request: RunRequest, same?: RunMemory) {
    this.#model = model;
    this.#request = request;
    const name = programName(request);
    const isSame = same !== undefined && same.#traced.name === name;
    this.#traced = isSame ? same.#traced : { name, run: undefined, schedules: new Map() };
    this.#quantized = quantizable(model.inventory);
  }

  /**
   * Of a training step with a batch of these sizes. Throws "batch" for sizes that the model cannot be run
   * with.
   */
  static ofStep(model: Countable, shape: TrainingShape): RunMemory {
    return new RunMemory(model, requestOf("training", model, shape.adapters, shape));
  }

  /** How many blocks the model has. */
  get blocks(): number {
    return this.#model.inventory.blocks.length;
  }

  estimate(choice: MemoryChoice): MemoryEstimate {
    const { plan, format, stored = "f32", recompute = ALL } = choice;
    const keep = choice.keep ?? (plan === "streamed" ? this.#readAhead(choice) : ALL);
    const kind = plan === "fused" ? plan : `blockwise ${recompute}`;
    const known = this.#arenas.get(`${kind} ${format} ${stored}`);
    const arenas = known ?? new Map<string, number>();
    this.#arenas.set(`${kind} ${format} ${stored}`, arenas);
    const held = new Map<string, StoredAs>();
    const weight = (name: string): StoredAs => {
      const answer = held.get(name) ?? this.#stored(name, choice);
      held.set(name, answer);
      return answer;
    };
    const schedule = this.#schedule(kind, { name: plan, recompute, keep: 0 });
    const options = { weight, feeds: this.#feeds(), keep, arenas };
    return sumOf(partsOf(estimateSchedule(schedule, options), this.#request));
  }

  #readAhead(choice: MemoryChoice): number {
    const { inventory } = this.#model;
    const sizes = [...inventory.weights.keys()].map(
      (name) => [name, this.#stored(name, choice).bytes] as const,
    );
    return readAhead(inventory, sizes);
  }

  /** A tied head is written as if it were always apart: see `#stored`. */
  #schedule(kind: string, plan: Plan): Schedule {
    const known = this.#traced.schedules.get(kind);
    if (known !== undefined) return known;
    const programs = new Map<string, string>();
    const names: Names = {
      weightOf: (site) => (this.#quantized.has(headCopy(site)) ? headCopy(site) : site.weight),
      typeOf: () => ({ format: "f32", transposed: false }) as const,
      program: (content: string) => {
        const name = programs.get(content) ?? `program${programs.size}`;
        programs.set(content, name);
        return name;
      },
    };
    this.#traced.run ??= writeRun(this.#request, names);
    const { schedule } = layOut(this.#traced.run, kind, plan, names);
    this.#traced.schedules.set(kind, schedule);
    return schedule;
  }

  /**
   * How the engine holds a weight: 8 and 4 bits are for linear layers of blocks, f16 and bf16 for every
   * matrix.
   */
  #stored(name: string, { plan, format, stored = "f32" }: MemoryChoice): StoredAs {
    const { weights, tables, stacks } = this.#model.inventory;
    const change = this.#quantized.get(name);
    const known = weights.get(change?.from ?? name) ?? tables.get(name)?.shape;
    const shape = known ?? internal(`no weight "${name}"`);
    const transposed = change?.transposed ?? false;
    const halves = isHalf(format);
    const packed = change?.isHead ? HEAD_FORMAT : format;
    const isChanged = change !== undefined && fits(formats[packed], shape, transposed);
    const changed = isPacked(format) && isChanged ? packed : stored;
    const isMatrix = shape.length === 2 || stacks.has(name);
    const own = halves && isMatrix ? format : changed;
    const bytes = bytesOf(formats[own], shape, transposed);
    // in one piece, 16 bits of the checkpoint are brought to f32 once
    const expands = plan === "fused" && !halves && isHalf(own);
    const held = expands ? { format: "f32" as const, bytes: 4 * elements(shape) } : undefined;
    const isApart = own === packed && isPacked(own);
    return { name: isApart ? name : (change?.from ?? name), format: own, transposed, bytes, held };
  }

  #feeds(): ReadonlyMap<string, readonly number[]> {
    const feeds = new Map<string, readonly number[]>();
    for (const [name, { shape }] of Object.entries(this.#request.feeds))
      if (shape !== undefined) feeds.set(name, shape);
    for (const [name, input] of this.#traced.run?.adapterInputs ?? [])
      if (input.kind === "tensor")
        feeds.set(name, at(this.#request.view.adapters, input.slot).entry(input.key).shape);
    return feeds;
  }
}

/** The run with a batch of these sizes. Throws "batch" for sizes that the model cannot be run with. */
export function requestOf(
  purpose: Exclude<RunPurpose, "generation">,
  model: Countable,
  adapters: readonly Adapter[],
  sizes: BatchSizes,
): RunRequest {
  const view = { adapters, gates: adapters.map(() => 1) };
  const batch = fakeBatch(model.spec, sizes, methodInputs(adapters));
  switch (purpose) {
    case "training":
      return backwardRequest(model, view, batch, { seed: 0, step: 0 });
    case "loss":
      return lossRequest(model, view, batch, {});
    case "forward":
      return forwardRequest(model, view, batch, {});
  }
}

/**
 * Runs that a model does by turns: the largest counts, with the most that adapters take in any of them, for
 * an optimizer's state stays while a model is evaluated.
 */
export function largestOf(runs: readonly Estimated[]): Estimated {
  const estimate = (choice: MemoryChoice): MemoryEstimate => {
    const parts = runs.map((run) => run.estimate(choice).parts);
    const trained = Math.max(...parts.map((each) => each.trained));
    const all = parts.map((each) => sumOf({ ...each, trained }));
    return all.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  };
  return { blocks: at(runs, 0).blocks, estimate };
}

function sumOf(parts: MemoryParts): MemoryEstimate {
  return { bytes: Object.values(parts).reduce((a, b) => a + b, 0), parts };
}

/** Bytes of two blocks, the largest twice: of the one that runs, and the one that is read meanwhile. */
export function readAhead(
  { blocks }: Pick<Countable["inventory"], "blocks">,
  sizes: readonly (readonly [weight: string, bytes: number])[],
): number {
  const totals = blocks.map((block) => {
    const own = sizes.filter(([name]) => name.startsWith(`${block}.`));
    return own.reduce((n, [, bytes]) => n + bytes, 0);
  });
  return 2 * Math.max(0, ...totals);
}

function isPacked(format: FormatName): boolean {
  return formats[format].pack !== undefined;
}

function partsOf(step: ScheduleBytes, { view, sizes, feeds }: RunRequest): MemoryParts {
  const copies = sizes === undefined ? COPIES : TRAINED_COPIES;
  return {
    process: Math.round(PROCESS + PER_NODE * step.nodes + PER_STEP_NODE * step.stepNodes),
    weights: step.held,
    blocks: step.blocks,
    mapped: step.mapped,
    activations: step.arenas,
    boundaries: step.between + storedBytes(feeds),
    garbage: Math.min(MOST_GARBAGE, Math.round(GARBAGE_STEPS * step.copied)),
    trained: 4 * copies * view.adapters.reduce((n, { size }) => n + size, 0),
  };
}

/** Of tensors that stay in the engine between runs: caches of generation. */
function storedBytes(feeds: RunRequest["feeds"]): number {
  const shapes = Object.values(feeds).flatMap((feed) => ("held" in feed && feed.shape ? [feed.shape] : []));
  return shapes.reduce((n, shape) => n + 4 * elements(shape), 0);
}
