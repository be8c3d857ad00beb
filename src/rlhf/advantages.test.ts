import { expect, it } from "vitest";
import { advantagesOf, meanOf } from "./advantages.js";
import { cutResponse, lastTokenOf, NO_TOKEN } from "./episodes.js";

const table = (...rows: number[][]): Float32Array[] => rows.map((row) => Float32Array.from(row));

const rollout = {
  logProbs: table([-1, -2, -3], [-1, -1, -1]),
  referenceLogProbs: table([-1.5, -2, -2], [-1, -2, -1]),
  values: table([0.5, 0.25, 1], [0.1, 0.2, 0.3]),
  scores: [2, -1],
  lastTokens: [1, 2],
};

it("pays the score behind the last token, or at it where nothing stands behind, and takes the distance off", () => {
  const { rewards, kl, values } = advantagesOf(rollout, { klCoef: 0.1 });
  expect(kl.map((row) => [...row])).toEqual([
    [0.5, 0, 0],
    [0, 1, 0],
  ]);
  expect(rewards[0]?.[2]).toBe(2);
  expect(rewards[1]?.[2]).toBe(-1);
  expect(rewards[0]?.[0]).toBeCloseTo(-0.05, 6);
  expect([...(values[0] ?? [])]).toEqual([0.5, 0.25, 1]); // a value after the last token counts
});

it("estimates advantages backwards, and whitens those of tokens", () => {
  const { returns, advantages, rewards, values } = advantagesOf(rollout, { gamma: 0.9, lam: 0.8 });
  const [r, v] = [rewards[1]!, values[1]!];
  const last = r[2]! - v[2]!;
  const middle = r[1]! + 0.9 * v[2]! - v[1]! + 0.9 * 0.8 * last;
  expect(returns[1]?.[2]).toBeCloseTo(r[2]!, 6);
  expect(returns[1]?.[1]).toBeCloseTo(middle + v[1]!, 6);
  expect(advantages[0]?.[2]).toBe(0);
  const counted = [...advantages[0]!.slice(0, 2), ...advantages[1]!];
  expect(meanOf(counted)).toBeCloseTo(0, 6);
  expect(counted.reduce((sum, x) => sum + x * x, 0) / (counted.length - 1)).toBeCloseTo(1, 5);
});

it("k3 is never negative, and 0 where policy and reference agree", () => {
  const { kl } = advantagesOf(rollout, { klEstimator: "k3" });
  expect(Math.min(...kl.flatMap((row) => [...row]))).toBe(0);
  expect(kl[0]?.[0]).toBeCloseTo(Math.exp(-0.5) - 1 + 0.5, 6);
});

it("cuts responses behind their first end token, and sees gaps", () => {
  expect(cutResponse({ prompt: [], response: [5, 2, 7] }, [2])).toEqual([5, 2]);
  expect(lastTokenOf([5, 2])).toBe(1);
  expect(lastTokenOf([5, NO_TOKEN, 2])).toBe(0);
  expect(lastTokenOf([])).toBe(-1);
});
