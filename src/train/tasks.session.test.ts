import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import type { Row } from "../data/row.js";
import type { Loss } from "../losses/loss.js";
import { LoraConfig } from "../methods/lora.js";
import { PromptTuningConfig } from "../methods/prompt_tuning.js";
import type { TaskType } from "../models/model.js";
import { PreTrainedModel } from "../peft/base_model.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { PeftModel } from "../peft/peft_model.js";
import { tokenizerFromFiles } from "../tokenizers/files.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { Words } from "../words.js";
import { type Evaluation, evaluate, Trainer, type TrainerOptions } from "./trainer.js";

const kit = (name: string): string =>
  fileURLToPath(new URL(`../../tests/kit/models/${name}`, import.meta.url));

const words = "red blue round square big small ball box is the where what it a old new".split(" ");
const vocabulary = ["[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]", "?", ...words];

/** Words of their own for models of 96 tokens. */
async function tinyTokenizer(paddingSide: "left" | "right"): Promise<Tokenizer> {
  const config = { tokenizer_class: "BertTokenizer", padding_side: paddingSide, eos_token: "[SEP]" };
  const special = { cls_token: "[CLS]", sep_token: "[SEP]", pad_token: "[PAD]", unk_token: "[UNK]" };
  const files: Record<string, string> = {
    "vocab.txt": `${vocabulary.join("\n")}\n`,
    "tokenizer_config.json": JSON.stringify({ ...config, ...special, model_max_length: 48 }),
  };
  return tokenizerFromFiles(async (file) => files[file]);
}

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const model of open.splice(0)) await model.close();
});

const lora = (): LoraConfig =>
  new LoraConfig({ r: 8, loraAlpha: 32, targetModules: "all-linear", modulesToSave: ["embed_tokens"] });

async function modelOf<T extends TaskType>(
  task: T,
  name: string,
  config: LoraConfig | PromptTuningConfig = new LoraConfig({
    r: 8,
    loraAlpha: 32,
    targetModules: "all-linear",
  }),
  json: Record<string, unknown> = {},
): Promise<PeftModel<T>> {
  const base = await PreTrainedModel.load(task, kit(name), { config: json });
  const model = getPeftModel(base, config);
  open.push(model);
  return model;
}

/** Trains on rows and evaluates on the same: the loss before and after, and what was found. */
async function learn<T extends TaskType>(
  model: PeftModel<T>,
  train: readonly Row[],
  options: Partial<TrainerOptions<T>> & { side?: "left" | "right" } = {},
): Promise<{ before: Evaluation; after: Evaluation }> {
  const { side = "right", ...more } = options;
  const tokenizer = await tinyTokenizer(side);
  const { loss } = more;
  const before = await evaluate(model, train, { tokenizer, loss, batchSize: 6 });
  const fixed = { batchSize: 8, epochs: 12, lr: 1e-2, schedule: "constant" as const };
  for await (const _ of new Trainer<T>({ model, tokenizer, train, ...fixed, ...more }).run());
  return { before, after: await evaluate(model, train, { tokenizer, loss, batchSize: 6 }) };
}

const things = ["red ball", "blue box", "big red box", "small blue ball", "old red ball", "new blue box"];
const isRed = (text: string): boolean => text.includes("red");
const problem = (
  problemType: "single_label_classification" | "multi_label_classification" | "regression",
  labels: (text: string) => number[],
  labelNames: readonly string[],
): Row[] =>
  things.map((text, i) => {
    return { kind: "classify", at: `row ${i}`, text, problemType, labels: labels(text), labelNames };
  });

it("rows of one class only: a warning", async () => {
  const warnings = async (labels: (text: string) => number[]): Promise<string[]> => {
    const train = problem("single_label_classification", labels, ["blue", "red", "green", "old"]);
    const tokenizer = await tinyTokenizer("right");
    const said: string[] = [];
    const model = await modelOf("SEQ_CLS", "bert");
    for await (const event of new Trainer({ model, tokenizer, train, maxSteps: 1 }).run())
      if (event.type === "warning") said.push(`${event.message}`);
    return said;
  };
  expect(await warnings(() => [1])).toEqual([expect.stringContaining('all rows have the label "red"')]);
  expect(await warnings((text) => [isRed(text) ? 1 : 0])).toEqual([]);
});

it("classes that nobody named are the rows', in what is saved as well", async () => {
  const train = problem("single_label_classification", (text) => [isRed(text) ? 1 : 0], ["blue", "red"]);
  const tokenizer = await tinyTokenizer("right");
  const model = await modelOf("SEQ_CLS", "bert", undefined, { num_labels: 2 });
  expect(model.classNames).toBeUndefined();
  for await (const _ of new Trainer({ model, tokenizer, train, maxSteps: 1 }).run());
  expect(model.classNames).toEqual(["blue", "red"]);
  const folder = mkdtempSync(join(tmpdir(), "peft-classes-"));
  await model.savePretrained(folder);
  const saved = JSON.parse(readFileSync(join(folder, "adapter_labels.json"), "utf8"));
  expect(saved.id2label).toEqual({ 0: "blue", 1: "red" });
  const whole = await PreTrainedModel.load("SEQ_CLS", kit("bert"), { config: { num_labels: 2 } });
  open.push(whole);
  for await (const _ of new Trainer({ model: whole, tokenizer, train, maxSteps: 1 }).run());
  await whole.savePretrained(folder);
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  expect(config.id2label).toEqual({ 0: "blue", 1: "red" });
  rmSync(folder, { recursive: true });
});

it("a memory limit that is nearly reached is said before the first step, and changes no number", async () => {
  const train = problem("single_label_classification", (text) => [isRed(text) ? 1 : 0], ["blue", "red"]);
  const tokenizer = await tinyTokenizer("right");
  const run = async (load: { maxMemory?: string }): Promise<{ losses: number[]; said: string[] }> => {
    const base = await PreTrainedModel.load("SEQ_CLS", kit("bert"), { ...load, plan: "fused" });
    open.push(base);
    const model = getPeftModel(base, new LoraConfig({ r: 8, targetModules: "all-linear" }));
    const losses: number[] = [];
    const said: string[] = [];
    for await (const event of new Trainer({ model, tokenizer, train, batchSize: 2, seed: 0 }).run()) {
      if (event.type === "step") losses.push(event.loss);
      if (event.type === "warning" && losses.length === 0)
        said.push(Words.of([event.message]).shown(({ name }) => `<${name}>`));
    }
    return { losses, said };
  };
  const free = await run({});
  const ballast = new Uint8Array(200 << 20).fill(1);
  const limited = await run({ maxMemory: "200MB" });
  expect(ballast[0]).toBe(1); // it was there all the time
  expect(free.said).toEqual([]);
  expect(limited.said).toEqual([
    expect.stringMatching(/of the 200MB .*<maxMemory>.*<maxLength>.*<batchSize>/),
  ]);
  expect(limited.losses).toEqual(free.losses);
});

describe("every task trains and is evaluated", () => {
  it.each(["left", "right"] as const)("CAUSAL_LM, padded on the %s: answers", async (side) => {
    const rows: Row[] = things.map((text, i) => {
      return {
        kind: "prompt",
        at: `row ${i}`,
        prompt: `what is the ${text} ?`,
        target: isRed(text) ? "red" : "blue",
      };
    });
    const { before, after } = await learn(await modelOf("CAUSAL_LM", "llama", lora()), rows, {
      side,
      epochs: 30,
    });
    expect(after.loss).toBeLessThan(before.loss / 5);
    expect(before.metrics["accuracy"]).toBeLessThan(0.5);
    expect(after.metrics).toEqual({ accuracy: 1, exactMatch: 1, f1: 1 });
    expect(after.predictions[1]).toEqual({
      row: 1,
      prompt: "what is the blue box ?",
      output: "blue",
      expected: "blue",
    });
  });

  it("SEQ_CLS, one class", async () => {
    const rows = problem("single_label_classification", (text) => [isRed(text) ? 1 : 0], ["blue", "red"]);
    const watched = { validation: rows, bestMetric: "accuracy", earlyStopping: { patience: 9 } };
    const { before, after } = await learn(await modelOf("SEQ_CLS", "bert"), rows, watched);
    expect(after.loss).toBeLessThan(before.loss);
    expect(after.metrics).toEqual({ accuracy: 1, f1: 1 });
    expect(after.predictions.toSorted((a, b) => a.row - b.row).slice(0, 2)).toEqual([
      { row: 0, prompt: "red ball", output: "red", expected: "red" },
      { row: 1, prompt: "blue box", output: "blue", expected: "blue" },
    ]);
  });

  it.each([
    ["bert-multilabel", "which its config says"],
    ["bert", "which the rows say"],
  ])("SEQ_CLS, several labels: %s, %s", async (name) => {
    const labels = (text: string): number[] =>
      ["red", "blue", "ball", "box"].map((word) => (text.includes(word) ? 1 : 0));
    const rows = problem("multi_label_classification", labels, ["red", "blue", "ball", "box"]);
    const { before, after } = await learn(await modelOf("SEQ_CLS", name), rows);
    expect(after.loss).toBeLessThan(before.loss / 3);
    expect(after.metrics).toEqual({ accuracy: 1, f1: 1 });
    expect(after.predictions.find(({ row }) => row === 0)!.output).toBe("red, ball");
  });

  it("SEQ_CLS, numbers", async () => {
    const rows = problem("regression", (text) => [text.length / 10], []);
    const { before, after } = await learn(await modelOf("SEQ_CLS", "bert-regression"), rows);
    expect(after.loss).toBeLessThan(before.loss / 5);
    expect(after.metrics["meanSquaredError"]).toBeCloseTo(after.loss, 5);
    expect(after.metrics["spearman"]).toBeGreaterThan(0.8);
  });

  it.each([undefined, 3])("TOKEN_CLS, with %s virtual tokens: per token", async (numVirtualTokens) => {
    const rows: Row[] = things.map((text, i) => {
      const list = text.split(" ");
      const tags = list.map((word) => (word === "ball" || word === "box" ? 1 : 0));
      return { kind: "tokens", at: `row ${i}`, words: list, tags, labelNames: ["O", "THING", "X", "Y"] };
    });
    const prompt = numVirtualTokens && new PromptTuningConfig({ numVirtualTokens, taskType: "TOKEN_CLS" });
    const model = await modelOf("TOKEN_CLS", "bert-token_cls", prompt || undefined);
    const { before, after } = await learn(model, rows, prompt ? { lr: 5e-2, epochs: 30 } : {});
    expect(after.loss).toBeLessThan(before.loss / (prompt ? 2 : 5));
    expect(after.metrics["accuracy"]).toBeGreaterThan(0.9);
    expect(after.predictions.find(({ row }) => row === 2)!.expected).toBe("O O THING");
  });

  it("QUESTION_ANS: the words of the span", async () => {
    const rows: Row[] = things.map((text, i) => {
      const context = `the ${text} is old`;
      const start = context.indexOf(isRed(text) ? "red" : "blue");
      const answer = { start, end: start + (isRed(text) ? 3 : 4) };
      return { kind: "question", at: `row ${i}`, question: "what is it ?", context, answer };
    });
    const model = await modelOf("QUESTION_ANS", "bert-question_ans");
    const { before, after } = await learn(model, rows, { side: "left", epochs: 25 });
    expect(after.loss).toBeLessThan(before.loss / 5);
    expect(after.metrics).toEqual({ accuracy: 1, exactMatch: 1, f1: 1 });
    expect(after.predictions.find(({ row }) => row === 3)!.output).toBe("blue");
  });

  it("FEATURE_EXTRACTION with a loss of one's own", async () => {
    const rows: Row[] = things.map((text, i) => ({ kind: "text", at: `row ${i}`, text }));
    const small: Loss = {
      name: "small",
      write: ({ g, logits }) => ({ sum: g.sum(g.square(logits())), count: g.size("batch") }),
    };
    const model = await modelOf("FEATURE_EXTRACTION", "bert-feature_extraction");
    const { before, after } = await learn(model, rows, { loss: small });
    expect(after.loss).toBeLessThan(before.loss * 0.9);
    expect(after.metrics).toEqual({});
    expect(() => new Trainer({ model, tokenizer: (() => {}) as unknown as Tokenizer, train: rows })).toThrow(
      /FEATURE_EXTRACTION has no loss of its own/,
    );
  });
});

describe("evaluate", () => {
  it("weighs by labelled tokens, not by batches", async () => {
    const model = await modelOf("CAUSAL_LM", "llama");
    const tokenizer = await tinyTokenizer("right");
    const rows: Row[] = [...things, "a", "it is a big old round box"].map((text, i) => {
      return { kind: "text", at: `row ${i}`, text };
    });
    const one = await evaluate(model, rows, { tokenizer, batchSize: 8 });
    const many = await evaluate(model, rows, { tokenizer, batchSize: 3 });
    expect(many.loss).toBeCloseTo(one.loss, 5);
    expect(many.count).toBe(one.count);
    expect(one.predictions).toEqual([]); // plain text asks nothing
  });

  it("stops at the next batch", async () => {
    const model = await modelOf("CAUSAL_LM", "llama");
    const tokenizer = await tinyTokenizer("right");
    const rows: Row[] = things.map((text, i) => ({ kind: "text", at: `row ${i}`, text }));
    const signal = AbortSignal.abort();
    await expect(evaluate(model, rows, { tokenizer, signal })).rejects.toThrow(/\[aborted\]/);
  });

  it("refuses labels of another kind than the head's", async () => {
    const rows = problem("regression", () => [0.5], []);
    const model = await modelOf("SEQ_CLS", "bert", undefined, {
      problem_type: "single_label_classification",
    });
    const trainer = new Trainer({ model, tokenizer: await tinyTokenizer("right"), train: rows });
    await expect(trainer.run().next()).rejects.toThrow(
      /labels are for regression.*problem_type: "regression"/,
    );
  });
});
