import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Ids } from "../data/batch.js";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForCausalLM } from "../peft/auto.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { PeftModel } from "../peft/peft_model.js";
import { at } from "../present.js";
import type { TextBatch } from "../trace/feeds.js";
import { labelColumn, labelledLogProbs, sumByRow, tokenStatistic } from "./log_probs.js";
import type { Loss } from "./loss.js";

const kit = fileURLToPath(new URL("../../tests/kit/models/llama", import.meta.url));

let model: PeftModel<"CAUSAL_LM">;
beforeAll(async () => {
  const base = await AutoModelForCausalLM.fromPretrained(kit, { threads: 1 });
  const config = new LoraConfig({ r: 2, targetModules: ["q_proj", "lm_head"], initLoraWeights: false });
  model = getPeftModel(base, new LoraConfig({ r: 2, targetModules: ["q_proj"], initLoraWeights: false }));
  model.addAdapter("head", config);
  await model.ready();
});
afterAll(() => model.close());

const [rows, seq] = [3, 6];
const inputIds: Ids = {
  data: Int32Array.from({ length: rows * seq }, (_, i) => 3 + ((i * 7) % 20)),
  shape: [rows, seq],
};
const mask = Int32Array.from({ length: rows * seq }, (_, i) => (i >= 16 ? 0 : 1));
const learnt = [0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0];
const batch: TextBatch<"CAUSAL_LM"> = {
  task: "CAUSAL_LM",
  inputIds,
  attentionMask: { data: mask, shape: [rows, seq] },
  labels: { data: inputIds.data.map((id, i) => (learnt[i] === 1 ? id : -100)), shape: [rows, seq] },
};

/** From whole logits, in f64: log p and entropy at each label that something stands before. */
async function expected(
  adapters: string[],
  temperature: number,
): Promise<{ logs: number[]; entropies: number[] }> {
  const { labels: _, ...unlabelled } = batch;
  const { logits } = await model.forward(unlabelled, { adapters });
  const vocab = at(logits.shape, 2);
  const of = (i: number): number[] => {
    const row = [...logits.data.subarray((i - 1) * vocab, i * vocab)].map((x) => x / temperature);
    const all = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
    return row.map((x) => x - all);
  };
  const isThere = (i: number): boolean => learnt[i] === 1 && i % seq > 0;
  return {
    logs: learnt.map((_, i) => (isThere(i) ? at(of(i), at(inputIds.data, i)) : 0)),
    entropies: learnt.map((_, i) => (isThere(i) ? -of(i).reduce((sum, l) => sum + Math.exp(l) * l, 0) : 0)),
  };
}

const near = (got: Iterable<number>, wanted: number[]): void => {
  for (const [i, x] of [...got].entries()) expect(x).toBeCloseTo(at(wanted, i), 4);
};

for (const [adapters, temperature] of [
  [["default"], 1],
  [["default"], 0.7],
  [["head"], 0.7],
  [[], 1],
] as const)
  it(`model.logProbs: adapters [${adapters}], temperature ${temperature}`, async () => {
    const { logs, entropies } = await expected([...adapters], temperature);
    const found = await model.logProbs(batch, { adapters, temperature, entropies: true });
    near(found.tokens.data, logs);
    near(found.entropies?.data ?? [], entropies);
    expect([...found.counts]).toEqual([3, 2, 2]);
    const sums = [0, 1, 2].map((row) => logs.slice(row * seq, (row + 1) * seq).reduce((a, b) => a + b));
    near(found.sums, sums);
  });

it("a loss sees them by row, and says numbers besides", async () => {
  const loss: Loss = {
    name: "rows",
    columns: { ...labelColumn, weights: { dtype: "f32", shape: ["batch"] } },
    write: (c) => ({
      sum: c.g.sum(c.g.mul(sumByRow(c, labelledLogProbs(c)), c.column("weights"))),
      count: c.g.scalar(1),
      metrics: {
        right: c.g.sum(tokenStatistic(c, "isRight")),
        never: c.g.div(c.g.scalar(0), c.g.scalar(0)),
      },
    }),
  };
  const weights = { data: Float32Array.of(1, -2, 0.5), shape: [rows] };
  const { sums } = await model.logProbs(batch);
  const wanted = at(sums, 0) - 2 * at(sums, 1) + 0.5 * at(sums, 2);
  const { loss: value, metrics } = await model.forwardBackward(
    { ...batch, columns: { weights } },
    { loss, training: false },
  );
  expect(value).toBeCloseTo(wanted, 3);
  expect(Object.keys(metrics ?? {})).toEqual(["right"]);
  model.trainableParameters().zero();
});

it("a batch without labels has nothing to say", async () => {
  const { labels: _, ...unlabelled } = batch;
  await expect(model.logProbs(unlabelled)).rejects.toThrow(/\[batch\].*no labels/);
});
