import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ClassifyRow, Head, Loss, PreTrainedModel, Task, Tokenizer } from "../../src/index.js";
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  autoModelFor,
  batches,
  encodeText,
  evaluate,
  getPeftModel,
  LoraConfig,
  lastToken,
  loadDataset,
  numberScores,
  PeftError,
  PeftModel,
  registerLoss,
  registerTask,
  stack,
  Trainer,
} from "../../src/index.js";

// A loss and a task from outside: of the package, only what its index exports.

/** Cross-entropy by the weight of a row, with a margin that its own class must lead by. */
const marginLoss: Loss = {
  name: "margin",
  columns: {
    labels: { dtype: "i64", shape: ["batch"] },
    weight: { dtype: "f32", shape: ["batch"] },
    margin: { dtype: "f32", shape: ["batch", "outputs"] },
  },
  write: ({ g, logits, column }) => {
    const losses = g.crossEntropy(g.sub(logits(), column("margin")), column("labels"));
    return { sum: g.sum(g.mul(losses, column("weight"))), count: g.sum(column("weight")) };
  },
};

/** Two numbers of a row, read at its last token. */
const pairHead: Head = {
  write: () => (w, _c, hidden, mask) => w.linear("pair_head", lastToken(w.g, hidden, mask), 2),
  outputs: () => 2,
  isPerLabel: false,
  modules: ["pair_head"],
};

/** One number a token. */
const valueHead: Head = {
  write: () => (w, _c, hidden) => w.linear("value_head", hidden, 1),
  outputs: () => 1,
  isPerLabel: false,
  modules: ["value_head"],
};

/** The two numbers meet the row's, and the mean of the tokens' values meets their sum. */
const pairLoss: Loss = {
  name: "pair",
  columns: { labels: { dtype: "f32", shape: ["batch", "outputs"] } },
  write: ({ g, logits, column, mask }) => {
    const labels = column("labels");
    const isToken = g.cast(mask, "f32"); // [batch, total]
    const values = g.mul(g.squeeze(logits("value"), -1), isToken);
    const mean = g.div(g.sum(values, 1), g.sum(isToken, 1)); // [batch]
    const errors = g.add(
      g.sum(g.square(g.sub(logits(), labels))),
      g.sum(g.square(g.sub(mean, g.sum(labels, 1)))),
    );
    return { sum: errors, count: g.size("batch") };
  },
};

const twoNumbers: Task<"TWO_NUMBERS"> = {
  name: "TWO_NUMBERS",
  accepts: ["classify"],
  tables: ["classify"],
  encode(row, context) {
    if (row.kind !== "classify") return `a row of kind "${row.kind}"`;
    const { inputs, truncated } = encodeText(context, row.text, context.maxLength);
    return {
      fields: { ...inputs, labels: Float32Array.from(row.labels) },
      truncated,
      labelsCut: false,
      learnt: 1,
    };
  },
  collate: (samples) => ({ labels: stack(samples.map(({ labels }) => Float32Array.from(labels ?? []))) }),
  preview: ({ inputIds }, { tokenizer }) => [{ text: tokenizer.decode([...inputIds]), learnt: false }],
  classEnds: ["ForTwoNumbers"],
  impliedBy: [],
  labels: "row",
  head: pairHead,
  heads: { value: valueHead },
  labelForm: () => "floats",
  loss: () => pairLoss,
  scores: () => numberScores,
  packs: true,
  generates: false,
};
const AutoModelForTwoNumbers = autoModelFor("TWO_NUMBERS");

const words = "red blue round square big small ball box is the old new".split(" ");
const folder = mkdtempSync(join(tmpdir(), "peft-tasks-"));
const kit = join(import.meta.dirname, "../kit/models/bert-feature_extraction");

/** A row whose numbers follow from its words. */
const row = (text: string, labels: readonly number[], columns = {}): ClassifyRow => {
  const problemType = "regression" as const;
  return { kind: "classify", at: text, text, problemType, labels, labelNames: [], columns };
};
const rows = words
  .slice(0, 4)
  .flatMap((first, i) => words.slice(4, 8).map((last, j) => row(`${first} the ${last}`, [i - 1.5, j / 2])));

let base: PreTrainedModel<"TWO_NUMBERS">;
let tokenizer: Tokenizer;
beforeAll(async () => {
  registerTask(twoNumbers);
  registerLoss(marginLoss);
  mkdirSync(folder, { recursive: true });
  for (const file of ["config.json", "model.safetensors"]) copyFileSync(join(kit, file), join(folder, file));
  const special = ["[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]"];
  writeFileSync(join(folder, "vocab.txt"), `${[...special, ...words].join("\n")}\n`);
  const config = { tokenizer_class: "BertTokenizer", model_max_length: 32 };
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(config));
  tokenizer = await AutoTokenizer.fromPretrained(folder);
  base = await AutoModelForTwoNumbers.fromPretrained(folder, { threads: 1, seed: 3 });
});
afterAll(async () => {
  await base.close();
  rmSync(folder, { recursive: true, force: true });
});

const lora = () => new LoraConfig({ r: 4, targetModules: ["query", "value"] });

test("a registered task trains its heads from rows, is evaluated by its metrics, and loads again", async () => {
  const model = getPeftModel(base, lora());
  const before = await evaluate(model, rows, { tokenizer });
  const trainer = new Trainer({ model, tokenizer, train: rows, epochs: 30, batchSize: 8, lr: 0.02 });
  for await (const event of trainer.run()) if (event.type === "end") expect(event.reason).toBe("finished");
  const after = await evaluate(model, rows, { tokenizer });
  expect(after.loss).toBeLessThan(0.3 * before.loss);
  expect(after.metrics["meanSquaredError"]).toBeLessThan(0.3 * before.metrics["meanSquaredError"]!);
  expect(after.metrics["pearson"]).toBeGreaterThan(0.8);
  expect(after.predictions[0]?.expected).toBe("-1.5 0");
  const out = join(folder, "adapter");
  await model.savePretrained(out);
  expect(JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8"))).toMatchObject({
    task_type: "TWO_NUMBERS",
    modules_to_save: ["pair_head", "value_head"],
  });
  await model.unload();
  const again = await PeftModel.fromPretrained(base, out);
  expect((await evaluate(again, rows, { tokenizer })).loss).toBe(after.loss);
  await again.unload();
});

test("its gradients are those of finite differences", async () => {
  const model = getPeftModel(base, lora());
  const parameters = model.trainableParameters();
  await model.ready();
  const walk = batches(rows.slice(0, 3), { tokenizer, model, batchSize: 3 })[Symbol.asyncIterator]();
  const { value: batch } = await walk.next();
  await model.forwardBackward(batch, { training: false });
  const lossOf = async (): Promise<number> => {
    parameters.version++;
    const { loss, count } = await model.lossOf(batch);
    return loss * count;
  };
  const step = 1e-2;
  for (const name of ["pair_head.weight", "value_head.bias", "value_head.weight", "lora_B"]) {
    const at = parameters.list.findIndex((p) => p.name.includes(name));
    const { data } = parameters.list[at]!;
    const value = data[1 % data.length]!;
    const place = 1 % data.length;
    data[place] = value + step;
    const above = await lossOf();
    data[place] = value - step;
    const below = await lossOf();
    data[place] = value;
    const numeric = (above - below) / (2 * step);
    const analytic = parameters.gradient[parameters.offsets[at]! + place]!;
    expect(Math.abs(analytic - numeric), name).toBeLessThan(0.01 * Math.max(0.1, Math.abs(numeric)));
  }
  await model.unload();
});

test("a registered loss reads columns of rows from a file, by its name", async () => {
  const path = join(folder, "rows.jsonl");
  const lines = words.slice(0, 8).map((word, i) => {
    const margin = i % 2 === 0 ? [0.5, 0] : [0, 0.5];
    return JSON.stringify({ text: `the ${word}`, label: i % 2, weight: i < 6 ? 1 : 0, margin });
  });
  writeFileSync(path, `${lines.join("\n")}\n`);
  const train = await loadDataset(path, { lossColumns: ["weight", "margin"] });
  const config = { num_labels: 2, problem_type: "single_label_classification" };
  const classifier = await AutoModelForSequenceClassification.fromPretrained(folder, { threads: 1, config });
  const model = getPeftModel(classifier, lora());
  const { loss: before } = await evaluate(model, train, { tokenizer, loss: "margin" });
  const byHand = await marginsByHand(model, train as ClassifyRow[]);
  expect(before).toBeCloseTo(byHand, 4);
  const trainer = new Trainer({ model, tokenizer, train, loss: "margin", epochs: 20, lr: 0.02 });
  for await (const event of trainer.run()) if (event.type === "end") expect(event.reason).toBe("finished");
  const { loss: after } = await evaluate(model, train, { tokenizer, loss: "margin" });
  expect(after).toBeLessThan(0.5 * before);
  await classifier.close();
});

/** The weighted mean of -log softmax(logits - margin)[label]. */
async function marginsByHand(model: PeftModel<"SEQ_CLS">, train: readonly ClassifyRow[]): Promise<number> {
  let [sum, weights] = [0, 0];
  for await (const batch of batches(train, { tokenizer, model, batchSize: 1, shuffle: false })) {
    const { logits } = await model.forward(batch);
    const { weight, margin } = batch.columns!;
    const led = [...logits.data].map((y, i) => y - margin!.data[i]!);
    const total = led.reduce((n, y) => n + Math.exp(y), 0);
    sum += weight!.data[0]! * (Math.log(total) - led[batch.labels.data[0]!]!);
    weights += weight!.data[0]!;
  }
  return sum / weights;
}

test("names are one definition's alone, and unknown ones are told", async () => {
  const codeOf = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      if (error instanceof PeftError) return `[${error.code}] ${error.what}`;
      throw error;
    }
    return "";
  };
  expect(codeOf(() => registerTask(twoNumbers))).toMatch(/^\[registered\] .*"TWO_NUMBERS"/);
  expect(codeOf(() => registerTask({ ...twoNumbers, name: "SEQ_CLS" }))).toMatch(/^\[registered\]/);
  expect(codeOf(() => registerLoss({ ...marginLoss, name: "tokens" }))).toMatch(/^\[registered\] .*"tokens"/);
  const model = getPeftModel(base, lora());
  expect(codeOf(() => new Trainer({ model, tokenizer, train: rows, loss: "margn" }))).toMatch(
    /^\[option\] There is no loss "margn"/,
  );
  await model.unload();
  await expect(autoModelFor("NO_SUCH").fromPretrained(folder)).rejects.toThrow(/\[unknown-task\].*NO_SUCH/);
});
