import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { LoraConfig } from "../../src/methods/index.js";
import type { TaskType } from "../../src/models/model.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { TextBatch } from "../../src/trace/feeds.js";
import { batchOf, ids, loadBase } from "./kit.js";

// A task's loss follows from its labels, as transformers chooses it; here against the same sums by hand.
const rows = [
  [5, 7, 9, 11, 3],
  [9, 40, 41, 42, 43, 44, 45],
];
const floats = (values: number[][]): unknown => ({
  data: Float32Array.from(values.flat()),
  shape: [values.length, values[0]!.length],
});
const sigmoid = (y: number): number => 1 / (1 + Math.exp(-y));

async function open(task: TaskType, model: string, config = {}): Promise<PreTrainedModel> {
  const base = (await loadBase(task, model, { config })) as unknown as PreTrainedModel;
  onTestFinished(() => base.close());
  return base;
}

describe("SEQ_CLS", () => {
  const targets = [
    [1, 0, 1, 0],
    [0, 0, 1, 1],
  ];
  const byHand = (logits: Float32Array): number =>
    -[...logits]
      .map((y, i) => (targets.flat()[i] === 1 ? Math.log(sigmoid(y)) : Math.log(1 - sigmoid(y))))
      .reduce((a, b) => a + b, 0) / logits.length;

  it("rows of numbers are several labels a row, though the config does not say so", async () => {
    const base = await open("SEQ_CLS", "bert");
    const { loss, logits, count } = await base.forward(
      batchOf("SEQ_CLS", rows, floats(targets)) as TextBatch,
    );
    expect(loss).toBeCloseTo(byHand(logits.data), 5);
    expect(count).toBe(8);
  });

  it("one label is a regression", async () => {
    const base = await open("SEQ_CLS", "bert-regression");
    const { loss, logits } = await base.forward(batchOf("SEQ_CLS", rows, floats([[0.5], [-2]])) as TextBatch);
    const [a, b] = logits.data as unknown as [number, number];
    expect(loss).toBeCloseTo(((a - 0.5) ** 2 + (b + 2) ** 2) / 2, 5);
  });

  it("the config's problem_type goes before the labels' form", async () => {
    const base = await open("SEQ_CLS", "bert", { problem_type: "regression" });
    const { loss, logits } = await base.forward(batchOf("SEQ_CLS", rows, floats(targets)) as TextBatch);
    const squares = [...logits.data].map((y, i) => (y - targets.flat()[i]!) ** 2);
    expect(loss).toBeCloseTo(squares.reduce((a, b) => a + b, 0) / 8, 5);
  });

  it("labels whose form does not fit the problem are refused", async () => {
    const base = await open("SEQ_CLS", "bert", { problem_type: "regression" });
    const run = (model: PreTrainedModel, labels: unknown): Promise<unknown> =>
      model.forward(batchOf("SEQ_CLS", rows, labels) as TextBatch);
    await expect(run(base, ids([[1], [2]]))).rejects.toThrow(/\[batch\].*labels are class numbers/);
    await expect(run(base, floats([[1], [2]]))).rejects.toThrow(/labels are \[2,1\], not \[2,4\]/);
    const single = await open("SEQ_CLS", "bert", { problem_type: "single_label_classification" });
    await expect(run(single, floats(targets))).rejects.toThrow(/\[batch\].*labels are numbers/);
  });
});

describe("QUESTION_ANS", () => {
  let base: PreTrainedModel;
  beforeAll(async () => {
    base = (await loadBase("QUESTION_ANS", "bert-question_ans")) as unknown as PreTrainedModel;
  });
  afterAll(() => base.close());
  const run = (start: number[][], end: number[][]): ReturnType<PreTrainedModel["forward"]> => {
    const batch = batchOf("QUESTION_ANS", rows, undefined);
    return base.forward({ ...batch, startPositions: ids(start), endPositions: ids(end) } as TextBatch);
  };

  it("is the mean over starts and ends; positions beyond the row do not count", async () => {
    const whole = await run([[1], [2]], [[2], [4]]);
    const first = await run([[1], [99]], [[2], [99]]);
    const second = await run([[99], [2]], [[99], [4]]);
    expect(whole.loss).toBeCloseTo((first.loss! + second.loss!) / 2, 4);
    expect([whole.count, first.count]).toEqual([4, 2]);
  });

  it("without any position that counts is an error", async () => {
    await expect(run([[99], [99]], [[99], [99]])).rejects.toThrow(/\[batch\].*masked/);
  });
});

describe("accumulated batches", () => {
  it("weigh by their labelled tokens", async () => {
    const base = await open("CAUSAL_LM", "llama");
    const model = new PeftModel(base);
    model.addAdapter("default", new LoraConfig({ r: 4, initLoraWeights: false, targetModules: ["q_proj"] }));
    const labels = [
      [-100, -100, 9, 11, 3, -100, -100],
      [-100, 40, 41, 42, 43, 44, 45],
    ];
    const off = { training: false };
    const parameters = model.trainableParameters();
    await model.forwardBackward(batchOf("CAUSAL_LM", rows, ids(labels)), off);
    expect(parameters.count).toBe(9);
    const whole = parameters.gradient.slice();
    parameters.zero();
    await model.forwardBackward(batchOf("CAUSAL_LM", [rows[0]!], ids([labels[0]!.slice(0, 5)])), off);
    await model.forwardBackward(batchOf("CAUSAL_LM", [rows[1]!], ids([labels[1]!])), off);
    expect(parameters.count).toBe(9);
    const scale = Math.max(...whole.map(Math.abs));
    parameters.gradient.forEach((x, i) => void expect(Math.abs(x - whole[i]!)).toBeLessThan(1e-4 * scale));
  });
});
