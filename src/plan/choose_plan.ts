import { internal, PeftError } from "../errors.js";
import { option, words } from "../words.js";
import type { Estimated, MemoryChoice, MemoryEstimate } from "./memory/estimate.js";
import { sizeText } from "./memory/sizes.js";
import type { Plan, PlanName } from "./plan.js";

/** What a budget is for. */
export interface PlanQuestion extends Pick<MemoryChoice, "format" | "stored"> {
  /** The one that is asked for; default: the fastest that fits. */
  readonly plan?: PlanName | undefined;
  readonly recompute?: number | undefined;
  /** Bytes. */
  readonly budget: number;
  /** It was said by the user: what does not fit is an error. */
  readonly strict: boolean;
}

/** A plan, and what a step is expected to take by it. */
export interface ChosenPlan {
  readonly plan: Plan;
  readonly estimate: MemoryEstimate;
}

/** Share of a budget that an estimate may fill: estimates are right within 15 %. */
const SAFE = 0.9;
/**
 * Bytes beside it for evaluation and generation: their sessions, and what malloc keeps of those that were
 * released.
 */
const KEPT = 64 << 20;
/**
 * Of these, for sessions. Where they fit, none is released and made again, which takes seconds and leaves
 * malloc's heaps torn.
 */
export const BESIDE: number = KEPT / 2;

/** Of a budget, what the estimate of a step may take. */
export function usable(budget: number): number {
  return SAFE * budget - KEPT;
}

/** The smallest budget that will do for an estimate. */
export function budgetFor(bytes: number): number {
  return Math.ceil((bytes + KEPT) / SAFE);
}

const ALL = Number.POSITIVE_INFINITY;

/**
 * The fastest way to run a step within a budget: in one piece; block by block with everything kept; with
 * weights read ahead of their use; with more and more blocks computed again; with as little as can be. Throws
 * "option", which names the smallest budget that would do.
 */
export function choosePlan(memory: Estimated, question: PlanQuestion): ChosenPlan {
  const limit = usable(question.budget);
  const of = (name: PlanName, recompute: number, keep: number): ChosenPlan => ({
    plan: { name, recompute, keep },
    estimate: memory.estimate({ ...question, plan: name, recompute, keep }),
  });
  const asked = (name: PlanName): boolean => question.plan === undefined || question.plan === name;
  if (asked("fused")) {
    const fused = of("fused", ALL, ALL);
    if (fused.estimate.bytes <= limit) return fused;
    if (question.plan === "fused") return tooLarge(fused, question);
  }
  const { blocks } = memory;
  const given = question.recompute;
  const shares = given === undefined ? [0, 0.25, 0.5, 0.75, 1].map((s) => Math.ceil(s * blocks)) : [given];
  if (asked("checkpointed"))
    for (const recompute of question.plan === undefined ? shares.slice(0, 1) : shares) {
      const kept = of("checkpointed", recompute, ALL);
      if (kept.estimate.bytes <= limit) return kept;
      if (question.plan === "checkpointed" && recompute === shares.at(-1)) return tooLarge(kept, question);
    }
  for (const recompute of shares) {
    const least = of("streamed", recompute, 0);
    const block = least.estimate.parts.blocks;
    const rest = limit - least.estimate.bytes;
    // Room to read ahead. What more there is, the system's own cache of the file fills, and gives back where
    // it is needed.
    if (rest >= block) return of("streamed", recompute, 2 * block);
    if (recompute === shares.at(-1)) return rest >= 0 ? least : tooLarge(least, question);
  }
  return internal("no share of blocks was tried");
}

function tooLarge(least: ChosenPlan, { budget, strict, plan }: PlanQuestion): ChosenPlan {
  if (!strict) return least;
  const smallest = budgetFor(least.estimate.bytes);
  throw new PeftError("option", {
    what: `A step does not fit into ${sizeText(budget)}.`,
    why: `with the ${least.plan.name} plan it takes about ${sizeText(smallest)}, the smallest that can be had for this batch.`,
    fix: words`give at least ${sizeText(smallest)}, or take fewer or shorter rows to a batch${
      plan === undefined || plan === "streamed" ? "" : words`, or ${option("plan", "streamed")}`
    }, or weights of fewer bits (${option("load", "int8")}, or nf4).`,
  });
}

/**
 * What an engine said that had too little memory, and what would do.
 * @param smallest - bytes of a budget for a run of the batch
 * @param isStep - of training, whose plan a budget decides; other runs take a plan as it is
 */
export function scarceMemory({ what, cause }: PeftError, smallest: number, isStep: boolean): PeftError {
  const size = sizeText(smallest);
  const load = isStep ? words`${option("maxMemory", size)}` : words`${option("plan", "streamed")}`;
  return new PeftError("engine", {
    what,
    why: `there was not enough memory: ${isStep ? "a step of this batch" : "this run"} takes at least ${size}, with weights read block by block.`,
    fix: words`load the model with ${load} where that much is free, or take fewer or shorter rows to a batch.`,
    cause,
  });
}
