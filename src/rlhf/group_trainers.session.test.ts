import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForCausalLM } from "../peft/auto.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { PeftModel } from "../peft/peft_model.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { StepEvent, TrainEvent } from "../train/events.js";
import { GRPOTrainer, type GrpoTrainerOptions, RLOOTrainer } from "./group_trainers.js";
import type { RewardFunction } from "./rewards.js";

const kit = fileURLToPath(new URL("../../tests/kit/models/llama", import.meta.url));

/** A vocabulary of numbers: the kit's model has no tokenizer. */
const tokenizer = Object.assign(
  (texts: readonly string[]) => ({ inputIds: texts.map((text) => text.split(" ").map(Number)) }),
  {
    padTokenId: 0,
    batchDecode: (rows: Iterable<Iterable<number>>) => Array.from(rows, (row) => [...row].join(" ")),
  },
) as unknown as Tokenizer;

const prompts = ["13 51 16", "28 7", "40 94 49 11"];
/** The share of tokens below 40. */
const small: RewardFunction = (_prompts, _answers, { ids }) =>
  ids.map((row) => row.filter((id) => id < 40).length / row.length);

let model: PeftModel<"CAUSAL_LM">;
let root: string;
beforeEach(async () => {
  const base = await AutoModelForCausalLM.fromPretrained(kit, { threads: 1 });
  model = getPeftModel(base, new LoraConfig({ r: 4, targetModules: "all-linear" }), { seed: 1 });
  root = mkdtempSync(join(tmpdir(), "peft-grpo-"));
});
afterEach(async () => {
  await model.close();
  rmSync(root, { recursive: true });
});

const options = (more: Partial<GrpoTrainerOptions> = {}): GrpoTrainerOptions => ({
  ...{ tokenizer, prompts, rewards: [small], promptsPerStep: 3, generations: 4, maxNewTokens: 6 },
  ...{ lr: 3e-2, epochs: 1, maxSteps: 3, schedule: "constant", batchSize: 6 },
  ...more,
});

async function eventsOf(run: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}

const stepsOf = (events: readonly TrainEvent[]): StepEvent[] => events.filter((e) => e.type === "step");
const rewardOf = (step: StepEvent | undefined): number => step?.metrics?.["reward"] ?? Number.NaN;
const meanReward = (steps: readonly StepEvent[]): number =>
  steps.reduce((sum, step) => sum + rewardOf(step), 0) / steps.length;

describe("GRPOTrainer", () => {
  it("learns what is rewarded, and unlearns what is punished", async () => {
    const rising = stepsOf(await eventsOf(new GRPOTrainer(model, options({ maxSteps: 16 })).run()));
    expect(meanReward(rising.slice(-4))).toBeGreaterThan(meanReward(rising.slice(0, 4)) + 0.2);
    const { metrics } = rising[0]!;
    expect(Object.keys(metrics ?? {})).toEqual(
      expect.arrayContaining(["rewards/small/mean", "reward_std", "entropy", "completions/mean_length"]),
    );
  });

  it("says answers with their rewards, and that equal ones teach nothing", async () => {
    const same: RewardFunction = (_p, answers) => answers.map(() => 1);
    const before = model.trainableParameters().list.map(({ data }) => data.slice());
    const events = await eventsOf(new GRPOTrainer(model, options({ rewards: [same] })).run());
    expect(events.some((e) => e.type === "warning" && `${e.message}`.includes("teaches nothing"))).toBe(true);
    const [sample] = events.filter((e) => e.type === "sample");
    expect(sample).toMatchObject({ prompt: expect.any(String), rewards: { same: 1 } });
    expect(stepsOf(events)[0]?.metrics?.["frac_reward_zero_std"]).toBe(1);
    for (const [i, { data }] of model.trainableParameters().list.entries())
      for (const [j, x] of data.entries()) expect(x).toBeCloseTo(before[i]![j]!, 6);
  });

  it("goes on to the bit from the middle of steps on the same answers", async () => {
    const all = options({ iterations: 3, beta: 0.1, maxSteps: 5, saveEvery: 1, outputDir: join(root, "a") });
    await eventsOf(new GRPOTrainer(model, all).run());
    const whole = model.trainableParameters().list.map(({ data }) => data.slice());
    await model.close();
    const base = await AutoModelForCausalLM.fromPretrained(kit, { threads: 1 });
    model = getPeftModel(base, new LoraConfig({ r: 4, targetModules: "all-linear" }), { seed: 1 });
    const resume = join(root, "a", "checkpoints", "checkpoint-4");
    const events = await eventsOf(
      new GRPOTrainer(model, { ...all, outputDir: join(root, "b"), resume }).run(),
    );
    expect(stepsOf(events).map(({ step }) => step)).toEqual([5]);
    expect(model.trainableParameters().list.map(({ data }) => data)).toEqual(whole);
  });

  it.each([
    [
      "a throw",
      () => {
        throw new Error("no judge");
      },
      'The reward "reward0" failed: no judge',
    ],
    ["NaN", (_p: unknown, a: readonly string[]) => a.map(() => Number.NaN), "gave NaN for the answer"],
    ["too few", () => [1], "gave 1 numbers for 12 answers"],
    ["a hang", () => new Promise<never>(() => {}), "gave nothing within 0.05 seconds"],
  ])("refuses a reward with %s", async (_, call, what) => {
    const bad = { bad: call as RewardFunction }.bad;
    const run = new GRPOTrainer(model, options({ rewards: [bad], rewardTimeout: 0.05 })).run();
    await expect(eventsOf(run)).rejects.toThrow(what);
  });
});

describe("RLOOTrainer", () => {
  it("learns what is rewarded, less its distance from the base", async () => {
    const { beta: _, ...rest } = options({ maxSteps: 20, lr: 1e-2, generations: 8, batchSize: 24 });
    const steps = stepsOf(await eventsOf(new RLOOTrainer(model, { ...rest, beta: 0.01 }).run()));
    expect(meanReward(steps.slice(-4))).toBeGreaterThan(meanReward(steps.slice(0, 4)) + 0.1);
    expect(steps[0]?.metrics?.["kl"]).toBeCloseTo(0, 4);
    expect(steps.at(-1)?.metrics?.["kl"]).toBeGreaterThan(0.01);
  });
});
