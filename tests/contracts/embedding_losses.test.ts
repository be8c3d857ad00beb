import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { cosent } from "../../src/losses/cosent.js";
import { cosineSimilarity } from "../../src/losses/cosine_similarity.js";
import type { Loss } from "../../src/losses/loss.js";
import { multipleNegativesRankingLoss } from "../../src/losses/multiple_negatives_ranking.js";
import { tripletLoss } from "../../src/losses/triplet.js";
import { LoraConfig } from "../../src/methods/index.js";
import type { Pooling } from "../../src/models/model.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import type { TextBatch } from "../../src/trace/feeds.js";
import { adapted, batchOf, difference, loadBase } from "./kit.js";

// Losses of vectors and their gradients against sentence-transformers: tools/golden/embeddings.py.
interface Golden {
  readonly rows: readonly (readonly number[][])[];
  readonly vectors: Readonly<Record<string, number[]>>;
  readonly losses: Readonly<
    Record<string, { texts: number; loss: number; labels?: number[]; gradients: Record<string, number[]> }>
  >;
}
const golden: Golden = JSON.parse(
  readFileSync(join(import.meta.dirname, "../golden/embeddings.json"), "utf8"),
);
const PART = [7 * 32, 7 * 32 + 12] as const;

const cases: Readonly<Record<string, [Loss, Partial<Pooling>?]>> = {
  "ranking of pairs": [multipleNegativesRankingLoss()],
  "ranking of triplets": [multipleNegativesRankingLoss()],
  "ranking with two negatives": [multipleNegativesRankingLoss()],
  "ranking by dot": [multipleNegativesRankingLoss({ scale: 0.5, similarity: "dot" })],
  "ranking normalized": [multipleNegativesRankingLoss({ scale: 30 }), { normalize: true }],
  "ranking of first tokens": [multipleNegativesRankingLoss(), { tokens: "cls" }],
  symmetric: [multipleNegativesRankingLoss({ symmetric: true })],
  "symmetric with negatives": [multipleNegativesRankingLoss({ symmetric: true })],
  triplet: [tripletLoss()],
  "triplet cosine": [tripletLoss({ distance: "cosine", margin: 0.5 })],
  "triplet manhattan": [tripletLoss({ distance: "manhattan", margin: 3 })],
  cosine: [cosineSimilarity],
  cosent: [cosent],
};

async function open(pooling: Partial<Pooling> = {}): Promise<PreTrainedModel<"FEATURE_EXTRACTION">> {
  const whole = { tokens: "mean", normalize: false, ...pooling } as const;
  const base = await loadBase("FEATURE_EXTRACTION", "bert-feature_extraction", { pooling: whole });
  onTestFinished(() => base.close());
  return base;
}

/** The first texts of each row, row by row; `short`: this row has one text less. */
function textsOf(
  columns: number,
  scores?: readonly number[],
  short?: number,
): TextBatch<"FEATURE_EXTRACTION"> {
  const counts = golden.rows.map((_, row) => (row === short ? columns - 1 : columns));
  const texts = golden.rows.flatMap((row, i) => row.slice(0, counts[i]));
  let next = 0;
  const places = counts.flatMap((count) =>
    Array.from({ length: columns }, (_, i) => (i < count ? next++ : -1)),
  );
  return {
    ...batchOf("FEATURE_EXTRACTION", texts, undefined),
    texts: { data: Int32Array.from(places), shape: [golden.rows.length, columns] },
    ...(scores && { labels: { data: Float32Array.from(scores), shape: [scores.length, 1] } }),
  };
}

describe("losses of vectors", () => {
  it("has a case for each golden number", () =>
    expect(Object.keys(cases)).toEqual(Object.keys(golden.losses)));

  it.each(Object.entries(cases))("%s", async (name, [loss, pooling]) => {
    const { texts, labels, loss: value, gradients } = golden.losses[name]!;
    const model = await open(pooling);
    const batch = textsOf(texts, labels);
    const parameters = model.trainableParameters();
    await model.ready();
    const found = await model.forwardBackward(batch, { loss, training: false });
    expect(Math.abs(found.loss - value)).toBeLessThan(1e-5 * Math.max(1, value));
    for (const [weight, numbers] of Object.entries(gradients)) {
      const i = parameters.list.findIndex((p) => p.name.endsWith(weight));
      const gradient = parameters
        .gradientOf(i)
        .slice(...PART)
        .map((x) => x / found.count);
      expect(difference(gradient, numbers)).toBeLessThan(1e-5);
    }
    expect((await model.lossOf(batch, { loss })).loss).toBeCloseTo(value, 4);
  });

  it("a row may have fewer negatives than others", async () => {
    const model = await open();
    const { loss } = await model.lossOf(textsOf(3, undefined, 2));
    const [two, three] = ["ranking of pairs", "ranking of triplets"].map((name) => golden.losses[name]!.loss);
    expect(loss).toBeGreaterThan(two!);
    expect(loss).toBeLessThan(three!);
    const { count } = await model.lossOf(textsOf(3, undefined, 2), { loss: tripletLoss() });
    expect(count).toBe(2);
  });

  it("pairs are ranked by default, and put into order where they have scores", async () => {
    const model = await open();
    expect((await model.lossOf(textsOf(2))).loss).toBeCloseTo(golden.losses["ranking of pairs"]!.loss, 4);
    const scores = golden.losses["cosent"]!.labels!;
    expect((await model.lossOf(textsOf(2, scores))).loss).toBeCloseTo(golden.losses["cosent"]!.loss, 4);
  });
});

describe("in chunks", () => {
  it.each([
    ["three texts at a time", { chunk: 3 }, 0.2],
    ["one text at a time", { chunk: 1, symmetric: true }, 0],
  ] as const)("%s, the gradient is that of the whole batch", async (_, options, dropout) => {
    const pooling = { tokens: "mean", normalize: false } as const;
    const config = { hidden_dropout_prob: dropout };
    const base = await loadBase("FEATURE_EXTRACTION", "bert-feature_extraction", { pooling, config });
    onTestFinished(() => base.close());
    const lora = new LoraConfig({ targetModules: "all-linear" });
    const { model } = await adapted(base as unknown as PreTrainedModel, lora);
    const run = async (loss: Loss): Promise<{ loss: number; gradient: Float32Array }> => {
      const parameters = model.trainableParameters();
      parameters.gradient.fill(0);
      parameters.count = 0;
      const found = await model.forwardBackward(textsOf(4, undefined, 1) as TextBatch, { loss });
      expect([found.count, parameters.count]).toEqual([3, 3]);
      return { loss: found.loss, gradient: parameters.gradient.slice() };
    };
    const { chunk, ...ranking } = options;
    const whole = await run(multipleNegativesRankingLoss(ranking));
    const parts = await run(multipleNegativesRankingLoss({ ...ranking, chunk }));
    expect(Math.abs(whole.loss - parts.loss)).toBeLessThan(1e-5);
    expect(Math.max(...whole.gradient.map(Math.abs))).toBeGreaterThan(1e-3);
    expect(difference(parts.gradient, whole.gradient)).toBeLessThan(1e-5);
  });
});

it("a reranker: one label of a pair, by the binary cross-entropy of its sigmoid", async () => {
  const base = await loadBase("SEQ_CLS", "bert-regression");
  onTestFinished(() => base.close());
  const targets = [0.25, 1];
  const rows = golden.rows[0]!.slice(0, 2) as number[][];
  const labels = { data: Float32Array.from(targets), shape: [2, 1] };
  const { loss, logits } = await base.forward(batchOf("SEQ_CLS", rows, labels), { loss: "multiLabel" });
  const each = [...logits.data].map((y, i) => Math.log1p(Math.exp(y)) - y * targets[i]!);
  expect(loss).toBeCloseTo((each[0]! + each[1]!) / 2, 5);
});

it("adapters learn by it", async () => {
  const base = await open();
  const { model } = await adapted(
    base as unknown as PreTrainedModel,
    new LoraConfig({ targetModules: "all-linear" }),
  );
  const { loss, count } = await model.forwardBackward(textsOf(3) as TextBatch);
  expect(count).toBe(3);
  expect(loss).toBeGreaterThan(0);
  expect(model.trainableParameters().gradient.some((x) => x !== 0)).toBe(true);
});
