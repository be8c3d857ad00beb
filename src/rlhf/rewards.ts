import { PeftError } from "../errors.js";
import { messageOf } from "../narrow.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import type { RewardRow } from "./group_advantages.js";

/** A prompt as rewards see it: its text, or the turns of a chat. */
export type PromptText = string | readonly { readonly role: string; readonly content: string }[];

/** What rewards may look at beside prompts and answers. */
export interface RewardContext {
  /** Tokens of each answer, its end token included. */
  readonly ids: readonly (readonly number[])[];
  /** Further columns of the prompts' rows, by name: one value for each answer. */
  readonly columns: Readonly<Record<string, readonly unknown[]>>;
  /** Aborted when the run is, or the call takes too long. */
  readonly signal: AbortSignal;
}

/** Numbers for answers; null or undefined: no opinion. */
export type Rewards = readonly (number | null | undefined)[];

/**
 * Judges answers, all of a step at a time: a number for each. Its name stands in metrics.
 * @example
 * ```ts
 * import type { RewardFunction } from "peft.js";
 *
 * const short: RewardFunction = (_prompts, answers) => answers.map((text) => -text.length / 100);
 * ```
 */
export type RewardFunction = (
  prompts: readonly PromptText[],
  answers: readonly string[],
  context: RewardContext,
) => Rewards | Promise<Rewards>;

/** How reward functions are called. */
export interface RewardCalls {
  /** Seconds that a call may take, where it waits for something. @default 120 */
  readonly timeout?: number | undefined;
  /** Functions that are called at the same time. @default 4 */
  readonly parallel?: number | undefined;
}

/**
 * Names of reward functions: their own, or "reward" with their number; of those named alike the later ones
 * are numbered.
 */
export function rewardNamesOf(rewards: readonly RewardFunction[]): string[] {
  const names = rewards.map(({ name }, i) => name || `reward${i}`);
  return names.map((name, i) => (names.indexOf(name) === i ? name : `${name}${i}`));
}

/** What reward functions say, row by row. Throws "training" for one that fails, hangs, or says no numbers. */
export async function callRewards(
  rewards: readonly RewardFunction[],
  prompts: readonly PromptText[],
  answers: readonly string[],
  context: Omit<RewardContext, "signal"> & { readonly signal: AbortSignal | undefined },
  { timeout = 120, parallel = 4 }: RewardCalls = {},
): Promise<RewardRow[]> {
  const names = rewardNamesOf(rewards);
  const said: Rewards[] = [];
  const waiting = [...rewards.keys()];
  const work = async (): Promise<void> => {
    for (let i = waiting.shift(); i !== undefined; i = waiting.shift()) {
      const one = within(timeout, at(names, i), context.signal);
      said[i] = await one((signal) => at(rewards, i)(prompts, answers, { ...context, signal }));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, parallel) }, work));
  for (const [i, values] of said.entries()) check(values, answers, at(names, i));
  return answers.map((_, row) => said.map((values) => values[row] ?? null));
}

/** Calls something that ends in time. */
function within(
  seconds: number,
  name: string,
  outer: AbortSignal | undefined,
): (call: (signal: AbortSignal) => Rewards | Promise<Rewards>) => Promise<Rewards> {
  return async (call) => {
    const own = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onAbort = (): void => own.abort(outer?.reason);
    outer?.addEventListener("abort", onAbort, { once: true });
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(tooLate(name, seconds));
        own.abort();
      }, 1000 * seconds);
      own.signal.addEventListener("abort", () => reject(stopped(name, outer?.reason)), { once: true });
    });
    try {
      return await Promise.race([Promise.resolve().then(() => call(own.signal)), late]);
    } catch (error) {
      if (error instanceof PeftError) throw error;
      throw new PeftError("training", {
        what: `The reward "${name}" failed: ${messageOf(error)}`,
        why: "without its numbers the answers cannot be compared.",
        fix: "catch what may go wrong inside of it, and return null for an answer that it cannot judge.",
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      outer?.removeEventListener("abort", onAbort);
    }
  };
}

function tooLate(name: string, seconds: number): PeftError {
  return new PeftError("training", {
    what: `The reward "${name}" gave nothing within ${seconds} seconds.`,
    why: "the run would wait for it at every step.",
    fix: words`let it end when its signal is aborted and return null, or set ${option("rewardTimeout")} higher.`,
  });
}

function stopped(name: string, cause: unknown): PeftError {
  return new PeftError("aborted", {
    what: `The reward "${name}" was stopped.`,
    why: "the run's AbortSignal was aborted.",
    fix: "resume the run for the rest.",
    cause,
  });
}

function check(values: unknown, answers: readonly string[], name: string): void {
  if (!Array.isArray(values) || values.length !== answers.length)
    throw new PeftError("training", {
      what: `The reward "${name}" gave ${Array.isArray(values) ? `${values.length} numbers` : typeof values} for ${answers.length} answers.`,
      why: "each answer needs its own.",
      fix: "return answers.map((answer) => number).",
    });
  const bad = values.findIndex((r) => r != null && !(typeof r === "number" && Number.isFinite(r)));
  if (bad < 0) return;
  throw new PeftError("training", {
    what: `The reward "${name}" gave ${String(values[bad])} for the answer ${JSON.stringify(at(answers, bad).slice(0, 60))}.`,
    why: "a reward is a finite number.",
    fix: "return null for an answer that it cannot judge.",
  });
}
