import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  LoraConfig,
  PeftModel,
  PPOTrainer,
  type PpoTrainerOptions,
  type Tokenizer,
} from "../../src/index.js";
import { loadBase, temporaryFolder } from "./kit.js";

// PPO over one base: a policy, a critic and a ranker are adapters beside each other.

/** A word is its number. */
const tokenizer = Object.assign((text: string) => ({ inputIds: [text.split(" ").map(Number)] }), {
  decode: (ids: number[]) => ids.join(" "),
  modelMaxLength: 64,
  paddingSide: "right",
  padTokenId: 0,
  eosTokenId: 2,
}) as unknown as Tokenizer;

const prompts = ["1 5 7", "1 8 4 9", "1 11", "1 20 21 22"];

async function model(): Promise<PeftModel> {
  const base = await loadBase("CAUSAL_LM", "llama", { seed: 1 });
  onTestFinished(() => base.close());
  const on = new PeftModel(base);
  on.addAdapter("policy", new LoraConfig({ taskType: "CAUSAL_LM", r: 4, targetModules: "all-linear" }));
  return on;
}

const options: PpoTrainerOptions = {
  ...{ tokenizer, prompts, rolloutSize: 8, responseLength: 5, ppoEpochs: 2, miniBatches: 2, batchSize: 2 },
  ...{ temperature: 1, epochs: 1, maxSteps: 8, lr: 0.02, schedule: "constant", reward: "none" },
};

/** The share of words above 47. */
const high = (_: unknown, completions: readonly string[]): number[] =>
  completions.map((text) => {
    const ids = text.split(" ").map(Number);
    return ids.filter((id) => id > 47).length / ids.length;
  });

test("what is rewarded is answered more, and less where it is punished", async () => {
  const scoresOf = async (sign: 1 | -1): Promise<number[]> => {
    const reward: PpoTrainerOptions["reward"] = async (asked, said) => high(asked, said).map((x) => sign * x);
    const settings = {
      ...{
        ...options,
        reward,
        rolloutSize: 32,
        batchSize: 32,
        responseLength: 6,
        ppoEpochs: 4,
        miniBatches: 1,
      },
      ...{ epochs: 16, maxSteps: 64, lr: 0.05, klCoef: 0 },
    };
    const scores: number[] = [];
    for await (const event of new PPOTrainer(await model(), settings).run())
      if (event.type === "step" && (event.step - 1) % 4 === 0)
        scores.push(sign * (event.metrics?.["objective/scores"] ?? Number.NaN));
    return scores;
  };
  const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
  const [more, less] = [await scoresOf(1), await scoresOf(-1)];
  expect(mean(more.slice(-5))).toBeGreaterThan(mean(more.slice(0, 5)) + 0.08);
  expect(mean(less.slice(-5))).toBeLessThan(mean(less.slice(0, 5)) - 0.08);
});

test("a ranker judges, the critic begins as it, and a run that was stopped within a rollout ends with the same bits", async () => {
  const ranked = async (): Promise<PeftModel> => {
    const on = await model();
    on.addAdapter("ranker", new LoraConfig({ taskType: "SEQ_CLS", r: 2 }), { numLabels: 1, seed: 5 });
    await on.ready();
    return on;
  };
  const settings = { ...options, reward: "ranker", saveEvery: 3 } as const;
  const whole = await ranked();
  const before = whole.adapters.get("ranker")!.entry("score.weight").data.slice();
  let metrics: Readonly<Record<string, number>> = {};
  for await (const event of new PPOTrainer(whole, { ...settings, outputDir: temporaryFolder() }).run())
    if (event.type === "step") metrics = event.metrics ?? {};
  expect(whole.adapters.get("ranker")!.entry("score.weight").data).toEqual(before);
  expect(Object.keys(metrics)).toEqual(
    expect.arrayContaining([
      "objective/scores",
      "objective/kl",
      "policy/clipfrac",
      "loss/value",
      "val/ratio",
    ]),
  );

  const outputDir = join(temporaryFolder(), "run");
  const stopped = new AbortController();
  for await (const event of new PPOTrainer(await ranked(), {
    ...settings,
    outputDir,
    signal: stopped.signal,
  }).run())
    if (event.type === "step" && event.step === 3) stopped.abort();
  const resumed = await ranked();
  for await (const event of new PPOTrainer(resumed, { ...settings, outputDir, resume: true }).run())
    if (event.type === "step") expect(event.step).toBeGreaterThan(3);
  for (const name of ["policy", "critic"])
    for (const [key, { data }] of whole.adapters.get(name)!.entries)
      expect(resumed.adapters.get(name)!.entry(key).data, `${name} ${key}`).toEqual(data);
});

test("rewards that are none, and prompts that are too long, are refused", async () => {
  const run = async (reward: PpoTrainerOptions["reward"]): Promise<void> => {
    for await (const _ of new PPOTrainer(await model(), { ...options, reward }).run());
  };
  await expect(run(() => [1])).rejects.toThrow("gave 1 numbers for 8 answers");
  await expect(run((_, said) => said.map(() => Number.NaN))).rejects.toThrow("gave NaN");
  await expect(run((_, said) => said.map(() => null))).rejects.toThrow("has no opinion of the answer");
  await expect(run("nobody")).rejects.toMatchObject({ code: "adapter-name" });
  const long = { ...options, reward: high, maxPromptLength: 1 };
  const on = await model();
  expect(() => new PPOTrainer(on, long)).toThrow("None of the 4 prompts");
});
