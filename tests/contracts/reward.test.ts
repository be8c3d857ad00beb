import { expect, onTestFinished, test } from "vitest";
import { LoraConfig, PeftModel, pipeline, RewardTrainer, rowsFrom, type Tokenizer } from "../../src/index.js";
import { loadBase, temporaryFolder } from "./kit.js";

/** A word is its number. */
const tokenizer = Object.assign(
  (text: string) => {
    const ids = text.split(" ").filter(Boolean).map(Number);
    return { inputIds: [ids], attentionMask: [ids.map(() => 1)] };
  },
  {
    decode: (ids: number[]) => ids.join(" "),
    ...{ modelMaxLength: 64, paddingSide: "right", padTokenId: 0 },
  },
) as unknown as Tokenizer;

/** Answers with words above 47 are better. */
const pairs = Array.from({ length: 12 }, (_, i) => ({
  prompt: `1 ${5 + i} 7 `,
  chosen: `${50 + i} ${60 + i}`,
  rejected: `${20 + i} ${30 + i} 9`,
}));

async function ranker(): Promise<PeftModel> {
  const base = await loadBase("CAUSAL_LM", "llama", { seed: 1 });
  onTestFinished(() => base.close());
  const model = new PeftModel(base);
  model.addAdapter("ranker", new LoraConfig({ taskType: "SEQ_CLS", r: 4 }), { numLabels: 1 });
  return model;
}

test("a reward model is learnt from pairs over a base that writes, and ranks answers", async () => {
  const model = await ranker();
  const options = {
    tokenizer,
    rows: rowsFrom(pairs),
    epochs: 8,
    batchSize: 6,
    lr: 0.02,
    outputDir: temporaryFolder(),
  };
  const accuracies: number[] = [];
  const trainer = new RewardTrainer(model, {
    ...options,
    overwrite: true,
    validation: rowsFrom(pairs.slice(0, 4)),
  });
  for await (const event of trainer.run()) {
    if (event.type === "step") accuracies.push(event.metrics?.["accuracy"] ?? Number.NaN);
    if (event.type === "evaluation") expect(Object.keys(event.metrics)).toContain("margin");
  }
  expect(accuracies.at(-1)).toBe(1);
  const rank = await pipeline("text-ranking", model as PeftModel<"SEQ_CLS">, { tokenizer });
  const ranked = await rank({ prompt: "1 9 7 ", completions: ["23 33 9", "53 63", "24 31 9"] });
  expect(ranked.map(({ index }) => index)[0]).toBe(1);
  expect(ranked[0]!.score).toBeGreaterThan(ranked[1]!.score);
  expect(await rank({ prompt: "1 9 7 ", completions: ["23", "53"] }, { topK: 1 })).toHaveLength(1);
});

test("pairs that are too long are left out and counted, never cut; heads of several labels are refused", async () => {
  const model = await ranker();
  const long = { prompt: "1 2 ", chosen: Array(70).fill("5").join(" "), rejected: "6" };
  const trainer = new RewardTrainer(model, { tokenizer, rows: rowsFrom([...pairs, long]), maxSteps: 1 });
  const warnings: string[] = [];
  for await (const event of trainer.run()) if (event.type === "warning") warnings.push(`${event.message}`);
  expect(warnings.join()).toContain("1 row left out: longer than 64 tokens");
  const two = await loadBase("SEQ_CLS", "llama", { config: { num_labels: 2 } });
  onTestFinished(() => two.close());
  const classifier = new PeftModel(two);
  classifier.addAdapter("default", new LoraConfig({ r: 2 }));
  expect(() => new RewardTrainer(classifier, { tokenizer, rows: rowsFrom(pairs) })).toThrow("2 labels apart");
});
