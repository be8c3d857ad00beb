import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { below, random, shuffled } from "../random.js";
import { tokenizerFromFiles } from "../tokenizers/files.js";
import type { Batch } from "./batch.js";
import { type Batches, batches } from "./batches.js";
import { collate } from "./collate.js";
import type { Row } from "./row.js";
import type { Sample } from "./sample.js";
import { split } from "./split.js";

const tokenizer = await tokenizerFromFiles((file) => {
  const path = new URL(`../../tests/kit/tokenizers/byte-bpe/${file}`, import.meta.url);
  return readFile(path, "utf8").catch(() => undefined);
});
const rows: Row[] = Array.from({ length: 103 }, (_, i) => ({
  kind: "prompt" as const,
  at: `row ${i + 1}`,
  prompt: "word ".repeat((i * 37) % 50),
  target: String(i),
}));
const model = { taskType: "CAUSAL_LM" as const, config: { vocabSize: 600 } };
const options = { tokenizer, model, batchSize: 8, epochs: 3, seed: 5 };

async function collect(source: Batches<"CAUSAL_LM">): Promise<Batch<"CAUSAL_LM">[]> {
  const out: Batch<"CAUSAL_LM">[] = [];
  for await (const batch of source) out.push(batch);
  return out;
}
const rowsOf = (found: readonly Batch[]): number[] => found.flatMap((batch) => [...batch.rows]);
const paddingOf = (found: readonly Batch[]): number =>
  found.reduce((sum, { attentionMask }) => sum + attentionMask.data.filter((m) => m === 0).length, 0);

describe("batches", () => {
  it("sees every row once an epoch, in another order each time", async () => {
    const source = batches(rows, options);
    const found = await collect(source);
    expect(source).toMatchObject({ batchesPerEpoch: 13, total: 39 });
    expect(found).toHaveLength(39);
    const epochs = [0, 1, 2].map((e) => rowsOf(found.slice(e * 13, e * 13 + 13)));
    for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual([...rows.keys()]);
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect(epochs[0]).not.toEqual([...rows.keys()]);
  });

  it("gives the same batches for the same seed, others for another", async () => {
    const first = await collect(batches(rows, options));
    expect(await collect(batches(rows, options))).toEqual(first);
    expect(rowsOf(await collect(batches(rows, { ...options, seed: 6 })))).not.toEqual(rowsOf(first));
  });

  it.each([0, 1, 13, 20, 38, 39])("goes on at batch %i with the bits of an unbroken run", async (startAt) => {
    const whole = await collect(batches(rows, options));
    expect(await collect(batches(rows, { ...options, startAt }))).toEqual(whole.slice(startAt));
  });

  it("puts rows of similar length together", async () => {
    const grouped = paddingOf(await collect(batches(rows, options)));
    const mixed = paddingOf(await collect(batches(rows, { ...options, groupByLength: false })));
    expect(grouped).toBeLessThan(mixed / 4);
  });

  it("keeps the rows' order without shuffling, and leaves out what fills no batch", async () => {
    const plain = { ...options, shuffle: false, epochs: 1 };
    expect(rowsOf(await collect(batches(rows, plain)))).toEqual([...rows.keys()]);
    const dropped = await collect(batches(rows, { ...options, epochs: 1, dropLast: true }));
    expect(dropped.map(({ rows: r }) => r.length)).toEqual(new Array(12).fill(8));
    expect(() => batches(rows.slice(0, 3), { ...options, dropLast: true })).toThrow(
      "3 samples make no batch of 8",
    );
  });

  it("throws at once what is wrong with rows and options", () => {
    expect(() => batches(rows, { ...options, model: { ...model, config: { vocabSize: 9 } } })).toThrow(
      "beyond the voc",
    );
    expect(() => batches(rows, { ...options, batchSize: 0 })).toThrow("batchSize is 0");
    expect(() => batches(rows, { ...options, startAt: -1 })).toThrow("startAt is -1");
  });

  it("gives batches of the model's own task, by type", async () => {
    for await (const batch of batches(rows, options)) {
      const learn = (b: Batch<"CAUSAL_LM">): number => b.labels.data.length;
      const classify = (b: Batch<"SEQ_CLS">): string => b.problemType;
      expect(learn(batch)).toBe(batch.inputIds.data.length);
      // @ts-expect-error a batch of another task
      expect(classify(batch)).toBeUndefined();
      break;
    }
  });
});

describe("collate", () => {
  const ids = (...values: number[]): Int32Array => Int32Array.from(values);
  const causal: Sample<"CAUSAL_LM">[] = [
    { task: "CAUSAL_LM", row: 4, at: "", inputIds: ids(7, 1, 1), labels: ids(-100, 1, 1) },
    { task: "CAUSAL_LM", row: 2, at: "", inputIds: ids(8), labels: ids(-100) },
  ];

  it("pads at the right, and its mask knows a padding token that is a word", () => {
    expect(collate(causal, { padTokenId: 1 })).toEqual({
      task: "CAUSAL_LM",
      inputIds: { data: ids(7, 1, 1, 8, 1, 1), shape: [2, 3] },
      attentionMask: { data: ids(1, 1, 1, 1, 0, 0), shape: [2, 3] },
      labels: { data: ids(-100, 1, 1, -100, -100, -100), shape: [2, 3] },
      lengths: ids(3, 1),
      rows: ids(4, 2),
    });
  });

  it("pads at the left, to a multiple", () => {
    const batch = collate(causal, { padTokenId: 0, paddingSide: "left", padToMultipleOf: 4 });
    expect(batch.inputIds).toEqual({ data: ids(0, 7, 1, 1, 0, 0, 0, 8), shape: [2, 4] });
    expect(batch.attentionMask.data).toEqual(ids(0, 1, 1, 1, 0, 0, 0, 1));
    expect(batch.labels.data).toEqual(ids(-100, -100, 1, 1, -100, -100, -100, -100));
  });

  it("pads targets at their end, whatever the inputs do", () => {
    const samples: Sample<"SEQ_2_SEQ_LM">[] = [
      { task: "SEQ_2_SEQ_LM", row: 0, at: "", inputIds: ids(5), labels: ids(6, 1) },
      { task: "SEQ_2_SEQ_LM", row: 1, at: "", inputIds: ids(5, 1), labels: ids(1) },
    ];
    const batch = collate(samples, { padTokenId: 0, paddingSide: "left" });
    expect(batch.labels).toEqual({ data: ids(6, 1, 1, -100), shape: [2, 2] });
    expect(batch.inputIds.data).toEqual(ids(0, 5, 5, 1));
  });

  it("stacks classes as integers, marks and numbers as floats", () => {
    const sample = (
      problemType: Sample<"SEQ_CLS">["problemType"],
      ...labels: number[]
    ): Sample<"SEQ_CLS"> => ({
      task: "SEQ_CLS",
      row: 0,
      at: "",
      inputIds: ids(2, 3),
      tokenTypeIds: ids(0, 1),
      problemType,
      labels: Float32Array.from(labels),
    });
    const one = collate(
      [sample("single_label_classification", 3), sample("single_label_classification", 0)],
      { padTokenId: 0 },
    );
    expect(one.labels).toEqual({ data: ids(3, 0), shape: [2, 1] });
    expect(one.tokenTypeIds).toEqual({ data: ids(0, 1, 0, 1), shape: [2, 2] });
    const many = collate([sample("multi_label_classification", 1, 0, 1)], { padTokenId: 0 });
    expect(many.labels).toEqual({ data: Float32Array.of(1, 0, 1), shape: [1, 3] });
    const number = collate([sample("regression", 2.5)], { padTokenId: 0 });
    expect(number.labels).toEqual({ data: Float32Array.of(2.5), shape: [1, 1] });
  });

  it("moves positions with the padding", () => {
    const sample = (inputIds: Int32Array, start: number, end: number): Sample<"QUESTION_ANS"> => ({
      task: "QUESTION_ANS",
      row: 0,
      at: "",
      inputIds,
      start,
      end,
    });
    const samples = [sample(ids(1, 2, 3), 1, 2), sample(ids(4), 0, 0)];
    const positions = (side: "left" | "right"): Int32Array[] => {
      const batch = collate(samples, { padTokenId: 0, paddingSide: side });
      return [batch.startPositions.data, batch.endPositions.data];
    };
    expect(positions("right")).toEqual([ids(1, 0), ids(2, 0)]);
    expect(positions("left")).toEqual([ids(1, 2), ids(2, 2)]);
  });

  it("refuses an empty batch", () => {
    expect(() => collate([], { padTokenId: 0 })).toThrow("A batch of no samples");
    // @ts-expect-error: no such option
    expect(() => collate([], { padTokenId: 0, padToMultiple: 8 })).toThrow(
      /padToMultiple\b.*padToMultipleOf/,
    );
  });
});

describe("split", () => {
  it("draws apart, keeps the order, repeats with the seed", () => {
    const items = Array.from({ length: 40 }, (_, i) => i);
    const { train, validation } = split(items, { validation: 0.1, seed: 1 });
    expect([train.length, validation.length]).toEqual([36, 4]);
    expect([...train, ...validation].sort((a, b) => a - b)).toEqual(items);
    expect(validation).toEqual([...validation].sort((a, b) => a - b));
    expect(split(items, { validation: 0.1, seed: 1 }).validation).toEqual(validation);
    expect(split(items, { validation: 0.1, seed: 2 }).validation).not.toEqual(validation);
    expect(split(items, { validation: 7 }).validation).toHaveLength(7);
  });

  it.each([0, -1, 40, 1.5, Number.NaN])("refuses validation: %d", (validation) => {
    expect(() => split(new Array(40).fill(0), { validation })).toThrow(`validation is ${validation}`);
  });
});

describe("random", () => {
  it("is the same generator for ever", () => {
    const next = random(0, 0);
    const first = [next(), next(), next()];
    expect(first.every((x) => Number.isInteger(x) && x >= 0 && x < 2 ** 32)).toBe(true);
    expect(first).toMatchInlineSnapshot(`
      [
        2683117281,
        521220168,
        1607749973,
      ]
    `);
  });

  it("shuffles without a favourite place", () => {
    const times = [0, 0, 0, 0, 0, 0];
    for (let seed = 0; seed < 6000; seed++) {
      const order = shuffled(["a", "b", "c"], random(seed)).join("");
      times[["abc", "acb", "bac", "bca", "cab", "cba"].indexOf(order)]!++;
    }
    for (const n of times) expect(Math.abs(n - 1000)).toBeLessThan(150); // 5 standard deviations
    const next = random(3);
    const draws = Array.from({ length: 5000 }, () => below(next, 5));
    for (let k = 0; k < 5; k++)
      expect(Math.abs(draws.filter((x) => x === k).length - 1000)).toBeLessThan(150);
  });
});
