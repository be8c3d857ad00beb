import type { FormatName } from "../../engine/formats/index.js";
import { formats } from "../../engine/formats/index.js";
import { isOneOf, keysOf } from "../../narrow.js";
import { quantizationOf } from "../../weights/packed/index.js";
import type { ChosenPlan } from "../choose_plan.js";
import { budgetFor, choosePlan, usable } from "../choose_plan.js";
import type { PlanName } from "../plan.js";
import type { Countable, MemoryEstimate, TrainingShape } from "./estimate.js";
import { RunMemory } from "./estimate.js";

type Stored = "f32" | "f16" | "bf16";

export interface TableQuestion {
  /** What the checkpoint is stored in. */
  readonly stored: Stored;
  /** Bytes. */
  readonly budget: number;
}

/**
 * The least that a plan can do with: blocks computed again, one of them in memory at a time where streamed.
 */
export interface TableCell {
  readonly estimate: MemoryEstimate;
  readonly fits: boolean;
}

/** What a step takes with the linear layers in one format. */
export interface TableRow {
  readonly format: FormatName;
  /** What the step takes by each plan. */
  readonly plans: Readonly<Record<PlanName, TableCell>>;
  /** What `auto` takes; undefined: nothing fits. */
  readonly auto: ChosenPlan | undefined;
}

/** How a checkpoint is quantized, and the format that its layers take where none is asked for. */
export interface StoredCodes {
  /** "bitsandbytes nf4", "gptq (4 bits)", ... */
  readonly name: string;
  readonly format: FormatName;
}

/**
 * How config.json says that a checkpoint is quantized; undefined: it is not. Codes that no format of ours
 * holds become f32.
 */
export function codesIn(json: Readonly<Record<string, unknown>>): StoredCodes | undefined {
  const name = quantizationOf(json)?.name;
  if (name === undefined) return undefined;
  const ours: Readonly<Record<string, FormatName>> = {
    "bitsandbytes nf4": "nf4",
    "bitsandbytes int8": "int8",
  };
  return { name, format: ours[name] ?? "f32" };
}

/**
 * What a checkpoint is stored in, as its config.json says. Layers of a quantized one that are put together
 * are f32.
 */
export function storedIn(json: Readonly<Record<string, unknown>>): Stored {
  if (codesIn(json) !== undefined) return "f32";
  const text = json["dtype"] ?? json["torch_dtype"];
  const names = { float32: "f32", float16: "f16", bfloat16: "bf16" } as const;
  return isOneOf(text, keysOf(names)) ? names[text] : "f32";
}

/**
 * What a training step takes in each weight format and plan, counted from config.json alone. Throws "batch".
 */
export function memoryTable(model: Countable, shape: TrainingShape, question: TableQuestion): TableRow[] {
  const memory = RunMemory.ofStep(model, shape);
  const fits = ({ bytes }: MemoryEstimate): boolean => bytes <= usable(question.budget);
  return shownFormats(question.stored).map((format) => {
    const cell = (plan: PlanName): TableCell => {
      const estimate = memory.estimate({
        plan,
        format,
        stored: question.stored,
        ...(plan === "streamed" ? { keep: 0 } : {}),
      });
      return { estimate, fits: fits(estimate) };
    };
    const plans = {
      fused: cell("fused"),
      checkpointed: cell("checkpointed"),
      streamed: cell("streamed"),
    };
    const auto = choosePlan(memory, { ...question, format, strict: false });
    return { format, plans, auto: fits(auto.estimate) ? auto : undefined };
  });
}

/** The smallest budget that any of these would do with, in bytes. */
export function smallestBudget(table: readonly TableRow[]): number {
  const peaks = table.flatMap(({ plans }) => Object.values(plans).map(({ estimate }) => estimate.bytes));
  return budgetFor(Math.min(...peaks));
}

/**
 * Of the two of 16 bits, the one that the checkpoint is in; of the three of 4 bits in blocks, the usual one.
 */
function shownFormats(stored: Stored): FormatName[] {
  const half = stored === "f16" ? "f16" : "bf16";
  const shown: readonly string[] = ["f32", half, "int8", "int4", "nf4"];
  return shown.filter((name): name is FormatName => name in formats);
}
