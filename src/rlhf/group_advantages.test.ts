import { expect, it } from "vitest";
import { groupAdvantages, leaveOneOut, lengthMetrics, rewardMetrics } from "./group_advantages.js";
import { samplerLogs, samplerMetrics, samplerRatios } from "./sampler_ratios.js";

const close = (values: readonly number[], to: readonly number[]): void => {
  for (const [i, value] of values.entries()) expect(value).toBeCloseTo(to[i]!, 4);
};

it("compares answers with their group, by its deviation, that of all, or none", () => {
  const rewards = [[1], [3], [10], [10]];
  const of = (scaleRewards: "group" | "batch" | "none"): readonly number[] =>
    groupAdvantages(rewards, { generations: 2, scaleRewards }).advantages;
  close(of("none"), [-1, 1, 0, 0]);
  close(of("group"), [-1 / (Math.SQRT2 + 1e-4), 1 / (Math.SQRT2 + 1e-4), 0, 0]);
  close(of("batch"), [-0.2132, 0.2132, 0, 0]);
  expect(groupAdvantages(rewards, { generations: 2 }).equalGroups).toBe(1);
});

it("weighs functions, leaves out what has no opinion, and gives 0 where nobody has one", () => {
  const rewards = [
    [1, null],
    [null, 4],
    [null, null],
  ];
  const found = groupAdvantages(rewards, { generations: 3, rewardWeights: [2, 0.25], scaleRewards: "none" });
  expect(found.totals).toEqual([2, 1, Number.NaN]);
  close(found.advantages, [0.5, -0.5, 0]);
  expect(rewardMetrics(rewards, found, ["a", "b"], 3)).toMatchObject({
    ...{ "rewards/a/mean": 1, "rewards/b/mean": 4, reward: 1.5, frac_reward_zero_std: 0 },
  });
});

it("leaves one out: an answer against the mean of the others, less its distance's cost", () => {
  const rewards = [[1], [2], [6]];
  close(leaveOneOut(rewards, { generations: 3 }).advantages, [-3, -1.5, 4.5]);
  close(leaveOneOut(rewards, { generations: 3, rewardClipRange: [0, 3] }).advantages, [-1.5, 0, 1.5]);
  close(leaveOneOut(rewards, { generations: 3, costs: [0, 0, 4] }).advantages, [-1, 0.5, 0.5]);
  close(leaveOneOut([[1]], { generations: 1 }).advantages, [0]);
});

it("counts lengths, of all answers and of those that ended", () => {
  const answers = [
    { ids: [1, 2, 3], isEnded: true },
    { ids: [1, 2, 3, 4, 5], isEnded: false },
  ];
  expect(lengthMetrics(answers)).toMatchObject({
    "completions/mean_length": 4,
    "completions/clipped_ratio": 0.5,
    "completions/max_terminated_length": 3,
  });
});

it("makes up for a sampler's other probabilities, within limits", () => {
  const differences = [
    [Math.log(2), Math.log(3)],
    [0, Math.log(0.5)],
  ];
  close(samplerRatios(differences).flat(), [0, 0.5]);
  close(samplerRatios(differences, { limit: "truncate" }).flat(), [3, 0.5]);
  const ratios = samplerRatios(differences, { level: "token", most: 2.5, least: 0.6 });
  close(ratios.flat(), [2, 0, 1, 0]);
  close(samplerLogs([[2, 3], [0]]), [Math.log(6), Math.log(1e-8)]);
  expect(samplerMetrics(differences, ratios)["sampling/importance_sampling_ratio/max"]).toBeCloseTo(2);
});
