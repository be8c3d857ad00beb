import { join } from "node:path";
import { type RlooLossOptions, rlooLoss } from "../../../src/losses/rloo.js";
import {
  type GroupAdvantages,
  leaveOneOut,
  lengthMetrics,
  type RewardRow,
  rewardMetrics,
} from "../../../src/rlhf/group_advantages.js";
import { json } from "../files.js";
import type { CaseResult } from "../result.js";
import { type Check, failure } from "../tensors.js";
import { floats, known } from "./batches.js";
import {
  beforePrompt,
  type Given,
  grpoAdvantages,
  rewardNames,
  scored,
  scoringChecks,
  weightsOf,
  zeroStd,
} from "./grpo.js";
import { type Config, number, numeric, type RlhfMethod, type Run, type Variant } from "./variant.js";

async function prepareRloo(v: Variant): Promise<Run> {
  const { config, model } = v;
  const given = json<{ given: Given }>(v.folder, "case.json").given;
  const { r, logProbs, old, reference, answers } = await scored(v, given);
  const sums = (values: ArrayLike<number>): number[] =>
    Array.from({ length: r.rows }, (_, row) =>
      Array.from({ length: r.width }, (_, i) => values[row * r.width + i] ?? 0).reduce((a, b) => a + b, 0),
    );
  const beta = numeric(config, "beta") ?? 0.05;
  const kl = sums(old.map((p, i) => p - (reference[i] ?? 0)));
  const found = rlooAdvantages(given.rewards, config, beta === 0 ? undefined : kl.map((k) => beta * k));
  const loss = rlooLoss(
    known<RlooLossOptions>({
      epsilon: numeric(config, "epsilon"),
      epsilonHigh: numeric(config, "epsilon_high"),
      temperature: numeric(config, "temperature"),
    }),
  );
  const columns = { rowAdvantages: floats(found.advantages), oldLogProbs: beforePrompt(r, old) };
  const meanKl = kl.reduce((a, b) => a + b, 0) / r.counts.reduce((a, b) => a + b, 0);
  return {
    pass: () => model.forwardBackward({ ...r.batch, columns }, { loss, training: false }),
    checks: () =>
      scoringChecks(v, {
        ...rewardMetrics(
          given.rewards,
          found,
          rewardNames(given.rewards),
          numeric(config, "num_generations") ?? 2,
        ),
        ...lengthMetrics(answers),
        kl: meanKl,
      }),
    values: async () => {
      const now = sums(await logProbs(model));
      const was = sums(old);
      v.expected.get(`${v.name}.per_sequence_loss`);
      return {
        advantages: floats(found.advantages),
        logps: floats(now),
        old_logps: floats(was),
        coef_1: floats(now.map((p, i) => Math.exp(p - (was[i] ?? 0)))),
      };
    },
  };
}

export function rlooAdvantages(
  rewards: readonly RewardRow[],
  config: Config,
  costs: readonly number[] | undefined,
): GroupAdvantages {
  const range = config["reward_clip_range"];
  return leaveOneOut(rewards, {
    generations: numeric(config, "num_generations") ?? 2,
    rewardWeights: weightsOf(config),
    rewardClipRange: Array.isArray(range) ? [Number(range[0]), Number(range[1])] : undefined,
    normalizeAdvantages: config["normalize_advantages"] === true,
    costs,
  });
}

/** Tables of rewards, and the advantages: no model in it. */
export function runAdvantages(kit: string, name: string): CaseResult {
  const folder = join(kit, "cases", name);
  const file = json<{
    defaults: Config;
    variants: Record<string, { config: Config; trainer: string; rewards: RewardRow[] }>;
  }>(folder, "case.json");
  const expected = json<Record<string, { advantages: number[]; metrics: Record<string, number> }>>(
    folder,
    "expect.json",
  );
  const checks: Check[] = [];
  for (const [variant, { config, trainer, rewards }] of Object.entries(file.variants)) {
    const all = { ...file.defaults, ...config };
    try {
      const found =
        trainer === "RLOO" ? rlooAdvantages(rewards, all, undefined) : grpoAdvantages(rewards, all);
      const wanted = expected[variant];
      for (const [i, a] of (wanted?.advantages ?? []).entries())
        checks.push(number(`${variant}.advantages`, found.advantages[i] ?? Number.NaN, a));
      const metrics = rewardMetrics(
        rewards,
        found,
        rewardNames(rewards),
        numeric(all, "num_generations") ?? 8,
      );
      Object.assign(metrics, trainer === "RLOO" ? {} : zeroStd(all, rewards, found));
      for (const [key, value] of Object.entries(wanted?.metrics ?? {}))
        checks.push(number(`${variant}.metrics.${key}`, metrics[key] ?? Number.NaN, value));
    } catch (error) {
      checks.push(failure(error));
    }
  }
  return { checks };
}

export const rloo: RlhfMethod = { prepare: prepareRloo };
