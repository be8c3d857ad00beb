import { at } from "../present.js";

/** What reward functions said of one answer; null: it has no opinion. */
export type RewardRow = readonly (number | null)[];

/** How rewards of groups of answers become advantages. */
export interface GroupAdvantageOptions {
  /** Answers to each prompt: they stand side by side. */
  readonly generations: number;
  /** The weight of each reward function. @default 1 each */
  readonly rewardWeights?: readonly number[] | undefined;
  /**
   * What a reward's distance from its group's mean is divided by: the standard deviation of its group, of all
   * answers, or nothing.
   * @default "group"
   */
  readonly scaleRewards?: "group" | "batch" | "none";
  /** Each function is normalized within its group, and their sum over all answers. @default false */
  readonly normalizeThenSum?: boolean;
}

/** How rewards of groups become advantages by leaving one out. */
export interface LeaveOneOutOptions extends Pick<GroupAdvantageOptions, "generations" | "rewardWeights"> {
  /** Least and largest total of an answer. @default none */
  readonly rewardClipRange?: readonly [number, number] | undefined;
  /** What an answer's distance from the reference costs: beta times its KL, [answers]. @default none */
  readonly costs?: readonly number[] | undefined;
  /** Mean 0 and a standard deviation of 1, over all answers. @default false */
  readonly normalizeAdvantages?: boolean;
}

/** Advantages, [answers], and what to know of the rewards. */
export interface GroupAdvantages {
  readonly advantages: readonly number[];
  /** The weighted sum of each answer's rewards; NaN: nobody had an opinion. */
  readonly totals: readonly number[];
  /** Groups whose answers all got the same: they teach nothing. */
  readonly equalGroups: number;
}

/** Added to standard deviations. */
const EPS = 1e-4;

/**
 * GRPO (2402.03300): A = (total - mean of its group) / (deviation + 1e-4). An answer of which nobody had an
 * opinion has 0.
 * Reference: trl/trainer/grpo_trainer.py
 */
export function groupAdvantages(
  rewards: readonly RewardRow[],
  options: GroupAdvantageOptions,
): GroupAdvantages {
  const { generations, scaleRewards = "group", normalizeThenSum = false } = options;
  const totals = totalsOf(rewards, options.rewardWeights);
  const groups = groupsOf(totals.length, generations);
  const found = { totals, equalGroups: equalGroups(totals, groups) };
  if (normalizeThenSum) return { ...found, advantages: summed(rewards, groups, options.rewardWeights) };
  const spread = deviation(known(totals));
  const advantages = totals.map(() => 0);
  for (const group of groups) {
    const alive = group.filter((i) => !Number.isNaN(at(totals, i)));
    const own = alive.map((i) => at(totals, i));
    const divisor = scaleRewards === "none" ? 1 : (scaleRewards === "group" ? deviation(own) : spread) + EPS;
    for (const i of alive) advantages[i] = (at(totals, i) - mean(own)) / divisor;
  }
  return { ...found, advantages };
}

/**
 * RLOO (2402.14740): A = total - the mean of the others of its group.
 * Reference: trl/trainer/rloo_trainer.py
 */
export function leaveOneOut(rewards: readonly RewardRow[], options: LeaveOneOutOptions): GroupAdvantages {
  const { generations, rewardClipRange, costs, normalizeAdvantages = false } = options;
  const totals = totalsOf(rewards, options.rewardWeights);
  const groups = groupsOf(totals.length, generations);
  const [least, most] = rewardClipRange ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const worth = totals.map((total, i) => Math.min(Math.max(total, least), most) - (costs?.[i] ?? 0));
  const advantages = totals.map(() => 0);
  for (const group of groups) {
    const alive = group.filter((i) => !Number.isNaN(at(worth, i)));
    for (const i of alive) {
      const others = alive.filter((j) => j !== i).map((j) => at(worth, j));
      advantages[i] = others.length === 0 ? 0 : at(worth, i) - mean(others);
    }
  }
  const isKnown = totals.map((total) => !Number.isNaN(total));
  const all = advantages.filter((_, i) => at(isKnown, i));
  const [center, spread] = normalizeAdvantages ? [mean(all), deviation(all) + EPS] : [0, 1];
  return {
    totals,
    equalGroups: equalGroups(totals, groups),
    advantages: advantages.map((a, i) => (at(isKnown, i) ? (a - center) / spread : 0)),
  };
}

/** Metrics of rewards under TRL's names. `names`: of the reward functions. */
export function rewardMetrics(
  rewards: readonly RewardRow[],
  { totals, equalGroups }: GroupAdvantages,
  names: readonly string[],
  generations: number,
): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [k, name] of names.entries()) {
    const own = rewards.flatMap((row) => row[k] ?? []);
    found[`rewards/${name}/mean`] = mean(own);
    found[`rewards/${name}/std`] = deviation(own);
  }
  const alive = known(totals);
  return {
    ...found,
    reward: mean(alive),
    reward_std: deviation(alive),
    frac_reward_zero_std: equalGroups / Math.max(1, totals.length / generations),
  };
}

/** Metrics of answers' lengths, in tokens, under TRL's names. `isEnded`: by an end token. */
export function lengthMetrics(
  answers: readonly { readonly ids: readonly number[]; readonly isEnded: boolean }[],
): Record<string, number> {
  const lengths = answers.map(({ ids }) => ids.length);
  const ended = answers.filter(({ isEnded }) => isEnded).map(({ ids }) => ids.length);
  const some = ended.length === 0 ? [0] : ended;
  return {
    "completions/mean_length": mean(lengths),
    "completions/min_length": Math.min(...lengths),
    "completions/max_length": Math.max(...lengths),
    "completions/clipped_ratio": 1 - ended.length / answers.length,
    "completions/mean_terminated_length": mean(some),
    "completions/min_terminated_length": Math.min(...some),
    "completions/max_terminated_length": Math.max(...some),
  };
}

/** Each function normalized within its group, their weighted sum over all. */
function summed(
  rewards: readonly RewardRow[],
  groups: readonly (readonly number[])[],
  weights: readonly number[] | undefined,
): number[] {
  const functions = at(rewards, 0).length;
  const totals = rewards.map((row) => (row.every((r) => r === null) ? Number.NaN : 0));
  for (const group of groups)
    for (let k = 0; k < functions; k++) {
      const there = group.flatMap((i) => rewards[i]?.[k] ?? []);
      const [center, divisor] = [mean(there), deviation(there) + EPS];
      for (const i of group) {
        const reward = rewards[i]?.[k] ?? null;
        if (reward !== null) totals[i] = at(totals, i) + ((weights?.[k] ?? 1) * (reward - center)) / divisor;
      }
    }
  const alive = known(totals);
  const [center, divisor] = [mean(alive), deviation(alive) + EPS];
  return totals.map((total) => (Number.isNaN(total) ? 0 : (total - center) / divisor));
}

function totalsOf(rewards: readonly RewardRow[], weights: readonly number[] | undefined): number[] {
  return rewards.map((row) => {
    if (row.every((r) => r === null)) return Number.NaN;
    return row.reduce<number>((sum, r, k) => sum + (weights?.[k] ?? 1) * (r ?? 0), 0);
  });
}

function groupsOf(count: number, generations: number): number[][] {
  return Array.from({ length: Math.ceil(count / generations) }, (_, g) =>
    Array.from({ length: Math.min(generations, count - g * generations) }, (_, i) => g * generations + i),
  );
}

function equalGroups(totals: readonly number[], groups: readonly (readonly number[])[]): number {
  return groups.filter((group) => {
    const own = known(group.map((i) => at(totals, i)));
    return own.every((total) => Math.abs(total - at(own, 0)) <= 1e-8);
  }).length;
}

function known(values: readonly number[]): number[] {
  return values.filter((value) => !Number.isNaN(value));
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Standard deviation, by n - 1; of a single value none: 0. */
function deviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, x) => sum + (x - center) ** 2, 0) / (values.length - 1));
}
