import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { learningRate, type ScheduleName, type ScheduleOptions, schedules } from "./schedules.js";

interface Kit {
  lr: number;
  warmup_steps: number;
  total_steps: number;
  schedules: Record<string, { options: Record<string, number>; lr: number[] }>;
}

const read = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../tests/${path}`, import.meta.url), "utf8"));
const kit = read("kit/schedules.json") as Kit;
/** tools/golden/schedules.py */
const extra = read("golden/schedules.json") as {
  name: ScheduleName;
  options: Record<string, unknown>;
  lr: number[];
}[];
const steps: ScheduleOptions = { lr: kit.lr, warmupSteps: kit.warmup_steps, totalSteps: kit.total_steps };
const camel = (key: string): string => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

describe("learningRate", () => {
  it("knows every schedule of the kit, and no other", () => {
    expect(Object.keys(schedules).sort()).toEqual(Object.keys(kit.schedules).sort());
  });

  it.each(Object.entries(kit.schedules))("%s as transformers has it", (name, { options, lr }) => {
    const extras = Object.fromEntries(Object.entries(options).map(([key, value]) => [camel(key), value]));
    const rates = lr.map((_, step) => learningRate(name as ScheduleName, { ...steps, ...extras }, step));
    for (const [step, rate] of rates.entries())
      expect(Math.abs(rate - lr[step]!), `step ${step}`).toBeLessThan(1e-12);
  });

  it.each(extra.map((row) => [row.name, row] as const))(
    "%s with options of its own",
    (name, { options, lr }) => {
      const extras = Object.fromEntries(Object.entries(options).map(([key, value]) => [camel(key), value]));
      const rates = lr.map((_, step) => learningRate(name, { ...steps, ...extras }, step));
      for (const [step, rate] of rates.entries())
        expect(Math.abs(rate - lr[step]!), `step ${step}`).toBeLessThan(1e-12);
    },
  );

  it("needs no warmup", () => {
    expect(learningRate("linear", { lr: 2, totalSteps: 4 }, 1)).toBe(1.5);
    expect(learningRate("inverse_sqrt", { lr: 1, totalSteps: 4 }, 10_000)).toBeCloseTo(Math.SQRT1_2, 12);
  });

  it("says every fault at once", () => {
    expect(() => learningRate("linaer" as ScheduleName, steps, 0)).toThrow(/"linaer".*linear, cosine/);
    expect(() => learningRate("linear", { lr: Number.NaN, totalSteps: 0, minLr: 1 }, 0)).toThrow(
      /lr is NaN; totalSteps is 0; it does not read minLr/,
    );
    expect(() => learningRate("cosine_with_min_lr", steps, 0)).toThrow(/one of minLr and minLrRate/);
    expect(() => learningRate("cosine_with_min_lr", { ...steps, minLr: 0, minLrRate: 0 }, 0)).toThrow(
      /one of/,
    );
    expect(() => learningRate("warmup_stable_decay", steps, 0)).toThrow(/needs numDecaySteps/);
    expect(() => learningRate("polynomial", { ...steps, lrEnd: 1 }, 0)).toThrow(
      /lrEnd 1 is not below lr 0.001/,
    );
  });
});
