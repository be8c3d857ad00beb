import { expect, it } from "vitest";
import { BestSoFar } from "./best.js";

const take = (metric: string, minDelta: number, values: readonly number[]): [boolean[], BestSoFar] => {
  const best = new BestSoFar(metric, metric === "accuracy" ? "higher" : "lower", { patience: 2, minDelta });
  return [values.map((value, i) => best.take(i + 1, { [metric]: value })), best];
};

it("losses and errors count down, all else up", () => {
  expect(take("loss", 0, [3, 2, 2, 1])[0]).toEqual([true, true, false, true]);
  expect(take("meanSquaredError", 0, [3, 4])[0]).toEqual([true, false]);
  expect(take("accuracy", 0, [0.3, 0.2, 0.4])[0]).toEqual([true, false, true]);
});

it("is over after `patience` evaluations that are not better by more than minDelta", () => {
  const [better, best] = take("accuracy", 0.1, [0.5, 0.55, 0.7]);
  expect(better).toEqual([true, false, true]);
  expect(best.isOver).toBe(false);
  best.take(4, { accuracy: 0.75 });
  expect(best.isOver).toBe(false);
  best.take(5, {}); // no row had an answer
  expect(best.isOver).toBe(true);
  expect(best.best).toEqual({ step: 3, metric: "accuracy", value: 0.7 });
});

it("without early stopping a run is never over, and the best is known all the same", () => {
  const best = new BestSoFar("loss", "lower", undefined);
  for (let step = 1; step < 20; step++) best.take(step, { loss: step });
  expect(best.isOver).toBe(false);
  expect(best.best?.step).toBe(1);
});
