import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AutoModelForSeq2SeqLM, AutoTokenizer, getPeftModel, loadDataset, Trainer } from "../../src/index.js";
import type { Loss } from "../../src/losses/loss.js";
import { LoraConfig } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { TextBatch } from "../../src/trace/feeds.js";
import { loadBase, sampleBatch, TASKS } from "./kit.js";

// A custom loss declares what it reads of the batch; what it writes is what it is compiled for.
const bases = new Map<keyof typeof TASKS, PreTrainedModel>();
beforeAll(async () => {
  for (const kind of ["llama", "t5", "bert"] as const)
    bases.set(kind, (await loadBase(TASKS[kind], kind)) as unknown as PreTrainedModel);
});
afterAll(async () => {
  for (const base of bases.values()) await base.close();
});

function open(kind: keyof typeof TASKS): PeftModel {
  const model = new PeftModel(bases.get(kind)!, () => undefined);
  model.addAdapter("default", new LoraConfig({ r: 2, initLoraWeights: false }));
  return model;
}

const tokens: Loss = {
  name: "mine",
  columns: { labels: { dtype: "i64", per: "label" }, weights: { dtype: "f32", per: "label" } },
  write: ({ g, labelled, column }) => ({
    sum: g.sum(g.mul(g.crossEntropy(labelled(), column("labels")), column("weights"))),
    count: g.sum(column("weights")),
  }),
};

function weights(
  batch: TextBatch,
  of: (i: number) => number,
): { data: Float32Array; shape: readonly number[] } {
  const { data, shape } = (batch as unknown as { labels: { data: Int32Array; shape: readonly number[] } })
    .labels;
  return { data: Float32Array.from(data, (_, i) => of(i)), shape };
}

describe.each(["llama", "t5"] as const)("%s", (kind) => {
  it("columns are fed: weights of 1 give the task's own loss and gradient, to the bit of packing", async () => {
    const model = open(kind);
    const batch = sampleBatch(kind);
    const own = await model.forwardBackward(batch, { training: false });
    const gradient = model.trainableParameters().gradient.slice();
    model.trainableParameters().zero();
    const columns = { weights: weights(batch, () => 1) };
    const custom = await model.forwardBackward({ ...batch, columns }, { training: false, loss: tokens });
    expect(custom.loss).toBeCloseTo(own.loss, 5);
    expect(custom.count).toBe(own.count);
    model.trainableParameters().gradient.forEach((x, i) => void expect(x).toBeCloseTo(gradient[i]!, 4));
    const { loss } = await model.lossOf({ ...batch, columns }, { loss: tokens });
    expect(loss).toBeCloseTo(own.loss, 5);
    await model.unload();
  });

  it("weights of 0 leave their labels out", async () => {
    const model = open(kind);
    const batch = sampleBatch(kind);
    const { labels } = batch as unknown as { labels: { data: Int32Array; shape: [number, number] } };
    const half = labels.shape[1];
    const masked = { ...labels, data: labels.data.map((label, i) => (i < half ? label : -100)) };
    const { loss: expected } = await model.lossOf({ ...batch, labels: masked } as never);
    const columns = { weights: weights(batch, (i) => (i < half ? 1 : 0)) };
    const { loss } = await model.lossOf({ ...batch, columns }, { loss: tokens });
    expect(loss).toBeCloseTo(expected, 4);
    await model.unload();
  });
});

it("sums by row: log-probabilities of answers", async () => {
  const model = open("llama");
  const batch = sampleBatch("llama");
  const [count, seq] = batch.inputIds.shape;
  const byRow: Loss = {
    name: "by row",
    columns: {
      labels: { dtype: "i64", per: "label" },
      rows: { dtype: "i64", per: "label" },
      factors: { dtype: "f32", shape: ["batch"] },
    },
    write: ({ g, labelled, column }) => {
      const losses = g.crossEntropy(labelled(), column("labels"));
      const flat = (x: typeof losses): typeof losses => g.reshape(x, ["chunks*chunk"]);
      const sums = g.scatterAdd(flat(losses), flat(column("rows")), 0, "batch");
      return { sum: g.sum(g.mul(sums, column("factors"))), count: g.scalar(1) };
    },
  };
  const rows = {
    data: Int32Array.from({ length: count * seq }, (_, i) => Math.floor(i / seq)),
    shape: [count, seq],
  };
  const lossWith = async (factors: number[]): Promise<number> => {
    const columns = { rows, factors: { data: Float32Array.from(factors), shape: [count, 1] } };
    return (await model.forwardBackward({ ...batch, columns }, { training: false, loss: byRow })).loss;
  };
  const [first, second, both] = [await lossWith([1, 0]), await lossWith([0, 1]), await lossWith([1, 1])];
  const own = await model.lossOf(batch);
  expect(both).toBeCloseTo(first + second, 3);
  expect(both).toBeCloseTo(own.loss * own.count, 3);
  await model.unload();
});

it("the Trainer feeds what rows of a file carry for it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "peft-loss-"));
  const name = fileURLToPath(new URL("../kit/models/t5-text", import.meta.url));
  const tokenizer = await AutoTokenizer.fromPretrained(name);
  const base = await AutoModelForSeq2SeqLM.fromPretrained(name);
  const weighted: Loss = {
    name: "weighted rows",
    columns: { labels: { dtype: "i64", per: "label" }, weight: { dtype: "f32", shape: ["batch"] } },
    write: ({ g, labelled, column }) => ({
      sum: g.mul(g.sum(g.crossEntropy(labelled(), column("labels"))), g.sum(column("weight"))),
      count: g.scalar(1),
    }),
  };
  const firstLoss = async (weight: number): Promise<number> => {
    writeFileSync(join(folder, "rows.csv"), `prompt,completion,weight\nmessage one,yes,${weight}\n`);
    const said: string[] = [];
    const train = await loadDataset(join(folder, "rows.csv"), {
      lossColumns: ["weight"],
      warn: (message) => said.push(message),
    });
    expect([train[0]?.columns, said]).toEqual([{ weight }, []]);
    const model = getPeftModel(base, new LoraConfig({ r: 2 }));
    const options = { model, tokenizer, train, loss: weighted, epochs: 1, batchSize: 1 };
    for await (const event of new Trainer(options).run())
      if (event.type === "step") {
        await model.unload();
        return event.loss;
      }
    return Number.NaN;
  };
  try {
    const whole = await firstLoss(1);
    expect(whole).toBeGreaterThan(0.1);
    expect(await firstLoss(0.5)).toBeCloseTo(whole / 2, 4);
    writeFileSync(join(folder, "rows.csv"), "prompt,completion,weight\na,yes,1\nb,no,heavy\n");
    await expect(loadDataset(join(folder, "rows.csv"), { lossColumns: ["weight"] })).rejects.toThrow(
      /rows.csv line 3: no number for "weight"/,
    );
  } finally {
    await base.close();
    rmSync(folder, { recursive: true });
  }
});

it("labels are asked for by those that declare them alone", async () => {
  const model = open("llama");
  const { labels: _, ...plain } = sampleBatch("llama") as TextBatch & { labels: unknown };
  const squares: Loss = {
    name: "squares",
    write: ({ g, logits, mask }) => ({
      sum: g.sum(g.mul(g.square(logits()), g.unsqueeze(g.cast(mask, "f32"), -1))),
      count: g.sum(g.cast(mask, "f32")),
    }),
  };
  const all = { ...squares, padding: true };
  const [packed, whole] = [
    await model.forwardBackward(plain as TextBatch, { training: false, loss: squares }),
    await model.forwardBackward(plain as TextBatch, { training: false, loss: all }),
  ];
  expect(packed.loss).toBeCloseTo(whole.loss, 3);
  await expect(model.lossOf(plain as TextBatch, { loss: tokens })).rejects.toThrow(
    /\[batch\] The loss "mine" cannot be computed on this batch: it has no labels; it has no weights.*columns:/s,
  );
  await model.unload();
});

it("losses of one name share nothing but what they write alike", async () => {
  const model = open("bert");
  let factor = 1;
  const scaled = (): Loss => ({
    name: "scaled",
    write: ({ g, logits }) => ({ sum: g.mul(g.sum(g.abs(logits())), factor), count: g.scalar(1) }),
  });
  const once = scaled();
  const batch = sampleBatch("bert");
  const one = (await model.lossOf(batch, { loss: once })).loss;
  factor = 3;
  expect((await model.lossOf(batch, { loss: once })).loss).toBeCloseTo(3 * one, 3);
  const before = await model.base.runtime.compilations();
  expect((await model.lossOf(batch, { loss: scaled() })).loss).toBeCloseTo(3 * one, 3);
  expect(await model.base.runtime.compilations()).toBe(before);
  const { loss } = await model.forward(batch, {
    loss: { ...once, write: ({ g, logits }) => ({ sum: g.sum(logits()), count: g.scalar(1) }) },
  });
  expect(loss).not.toBeCloseTo(3 * one, 3);
  await model.unload();
});

it.each([
  [{ data: new Float32Array(5), shape: [5] }, /weights are \[5\], the labels \[2,7\]/],
  [{ data: new Int32Array(14), shape: [2, 7] }, /weights holds whole numbers, the loss declares f32/],
  [{ data: new Float32Array(3), shape: [2, 7] }, /weights holds 3 numbers, its shape is \[2,7\]/],
  [[1, 2], /weights is not \{ data/],
])("columns of another form are refused: %j", async (given, message) => {
  const model = open("llama");
  const columns = { weights: given } as never;
  await expect(model.forwardBackward({ ...sampleBatch("llama"), columns }, { loss: tokens })).rejects.toThrow(
    message,
  );
  await model.unload();
});

it("what is not declared is refused by name", async () => {
  const model = open("bert");
  const batch = sampleBatch("bert");
  const asks = (read: Loss["write"]): Promise<unknown> =>
    model.lossOf(batch, { loss: { name: "asks", write: read } });
  await expect(
    asks(({ g, column }) => ({ sum: g.sum(column("scores")), count: g.scalar(1) })),
  ).rejects.toThrow(/\[training\] The loss "asks" reads the column "scores", which it does not declare/);
  await expect(
    asks(({ g, logits }) => ({
      sum: g.sum(g.mul(logits(), g.input("scores", ["batch", 1]))),
      count: g.scalar(1),
    })),
  ).rejects.toThrow(/\[training\] The loss reads the inputs scores, which nothing feeds/);
  await model.unload();
});
