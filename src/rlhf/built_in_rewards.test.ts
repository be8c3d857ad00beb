import { expect, it } from "vitest";
import { exactReward, formatReward, jsonReward, lengthReward, numericReward } from "./built_in_rewards.js";
import type { RewardFunction } from "./rewards.js";

const judge = (reward: RewardFunction, answers: readonly string[], columns: Record<string, unknown[]> = {}) =>
  reward(
    answers.map(() => "?"),
    answers,
    { ids: answers.map((text) => [...text].map(() => 1)), columns, signal: new AbortController().signal },
  );

it("judges formats, also by expressions that would take for ever", () => {
  expect(judge(formatReward(/^<a>.*<\/a>$/s), ["<a>1</a>", "1"])).toEqual([1, 0]);
  expect(() => judge(formatReward(/(a+)+$/), [`${"a".repeat(40)}!`])).toThrow("formatReward");
});

it("judges JSON by its schema", () => {
  const reward = jsonReward({
    type: "object",
    properties: { sum: { type: "integer", minimum: 0 }, tags: { type: "array", items: { type: "string" } } },
    required: ["sum"],
    additionalProperties: false,
  });
  const answers = [
    '{"sum": 3}',
    '{"sum": 3, "tags": ["a"]}',
    '{"sum": -1}',
    '{"sum": 1, "x": 2}',
    "[1]",
    "{",
  ];
  expect(judge(reward, answers)).toEqual([1, 1, 0.5, 0.5, 0.5, 0]);
  expect(judge(reward, ['{"sum": 1, "tags": [1]}', '{"sum": 1, "toString": 2}'])).toEqual([0.5, 0.5]);
});

it("judges lengths, texts and numbers", () => {
  expect(judge(lengthReward({ target: 4 }), ["1234", "12", "12345678"])).toEqual([-0, -0.5, -1]);
  expect(judge(exactReward(), [" yes ", "no"], { answer: ["yes", null] })).toEqual([1, null]);
  const columns = { answer: [5, "1200", 0.3] };
  expect(judge(numericReward(), ["2 + 3 = 5", "it is 1,200", "none"], columns)).toEqual([1, 1, 0]);
  expect(() => judge(numericReward("sum"), ["1"])).toThrow('reads the column "sum", which no prompt has');
});
