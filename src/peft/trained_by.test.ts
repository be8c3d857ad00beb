import { expect, it } from "vitest";
import { lora } from "../methods/lora.js";
import type { Method } from "../methods/method.js";
import { promptTuning } from "../methods/prompt_tuning.js";
import { trainedBy } from "./trained_by.js";

it("a run that says no learning rate has its method's", () => {
  expect(trainedBy(undefined).learningRate).toEqual({ value: 5e-5, from: "the Trainer of transformers" });
  expect(trainedBy(lora as Pick<Method, "name">)).toEqual({
    name: "lora",
    learningRate: { value: 1e-3, from: "PEFT's guides" },
  });
  expect(trainedBy(promptTuning as Pick<Method, "name">).learningRate.value).toBe(3e-2);
});
