import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ClassifyRow, PromptRow, Row } from "../data/row.js";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForSeq2SeqLM } from "../peft/auto.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { PeftModel } from "../peft/peft_model.js";
import { AutoTokenizer } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { describeHeader } from "./describe.js";
import { classCounts } from "./header.js";
import { Trainer, type TrainerOptions } from "./trainer.js";

const folder = fileURLToPath(new URL("../../tests/kit/models/t5-text", import.meta.url));
let model: PeftModel<"SEQ_2_SEQ_LM">;
let tokenizer: Tokenizer;
beforeAll(async () => {
  const base = await AutoModelForSeq2SeqLM.fromPretrained(folder, { threads: 1 });
  model = getPeftModel(base, new LoraConfig({ r: 4, targetModules: ["q", "v"] }));
  tokenizer = await AutoTokenizer.fromPretrained(folder);
});
afterAll(() => model.close());

const rows = (count: number): PromptRow[] =>
  Array.from({ length: count }, (_, i) => ({
    kind: "prompt",
    at: `row ${i}`,
    prompt: `a ${i}`,
    target: "yes",
  }));
const trainer = (options: Partial<TrainerOptions<"SEQ_2_SEQ_LM">>): Trainer<"SEQ_2_SEQ_LM"> =>
  new Trainer({ model, tokenizer, train: rows(200), ...options });

it("says what a run will do, and computes nothing", async () => {
  const header = await trainer({ lr: 0.01, batchSize: 4, gradientAccumulationSteps: 2 }).header();
  expect(header).toMatchObject({
    ...{
      task: "SEQ_2_SEQ_LM",
      rows: 200,
      validationRows: 0,
      isValidationSplit: false,
      method: "LORA",
      rank: 4,
    },
    ...{
      targets: ["q", "v"],
      lr: 0.01,
      batchSize: 4,
      gradientAccumulationSteps: 2,
      threads: 1,
      device: "cpu",
    },
    memoryPlan: "fused",
  });
  const { histogram, longest = 0 } = header.lengths ?? {};
  expect(histogram?.reduce((n, [, count]) => n + count, 0)).toBe(200);
  expect(histogram?.at(-1)?.[0]).toBeLessThanOrEqual(longest);
  expect(describeHeader(header).map(String)).toContain("method    LORA, rank 4 on q, v");
});

it('validation: "auto" takes a tenth where there are 200 rows, 20 at least, by the seed; none where there are fewer', async () => {
  const split = async (count: number): Promise<readonly number[]> => {
    const { rows: learnt, validationRows } = await trainer({
      train: rows(count),
      validation: "auto",
    }).header();
    return [learnt, validationRows];
  };
  expect(await split(199)).toEqual([199, 0]);
  expect(await split(200)).toEqual([180, 20]);
  expect(await split(450)).toEqual([405, 45]);
  const few = trainer({ train: rows(10), validation: "auto", bestMetric: "loss" });
  await expect(few.header()).rejects.toThrow(/bestMetric without validation rows/);
});

it("counts classes: rows of one label, of several, tagged words", () => {
  const labelNames = ["a", "b", "c"];
  const rowsOf = (list: readonly Row[]): unknown => classCounts(list)?.map((one) => one.rows);
  const one = (labels: readonly number[], problemType: ClassifyRow["problemType"]): Row => ({
    ...{ kind: "classify", at: "row", text: "", labels, labelNames, problemType },
  });
  const single = [[0], [2], [2]].map((labels) => one(labels, "single_label_classification"));
  expect(rowsOf(single)).toEqual([1, 0, 2]);
  const many = [
    [0, 1, 1],
    [0, 1, 0],
  ].map((labels) => one(labels, "multi_label_classification"));
  expect(rowsOf(many)).toEqual([0, 2, 1]);
  const tags: Row = { kind: "tokens", at: "row", words: ["x", "y"], tags: [-100, 1], labelNames };
  expect(rowsOf([tags])).toEqual([0, 1, 0]);
  expect(classCounts(rows(3))).toBeUndefined();
});
