import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { AdamW, LoraConfig, type Loss, PeftModel, type PreTrainedModel } from "../../src/index.js";
import { batchOf, disturb, loadBase, temporaryFolder } from "./kit.js";

// Adapters for several tasks over one base: a policy that writes, rankers, a critic.

const rows = [
  [5, 7, 9, 11, 3, 2],
  [8, 4, 6],
];
const batch = batchOf("SEQ_CLS", rows, undefined);
const oneLabel = { num_labels: 1 };

async function open<T extends "CAUSAL_LM" | "SEQ_CLS">(
  task: T,
  model: string,
  config: Record<string, unknown> = {},
): Promise<PreTrainedModel<T>> {
  const base = await loadBase(task, model, { seed: 1, config });
  onTestFinished(() => base.close());
  return base;
}

/** A ranker that was trained on a base of its own task, as Python does it, and its folder. */
async function ranker(
  model: string,
  seed: number,
): Promise<{ ranker: PeftModel<"SEQ_CLS">; folder: string }> {
  const trained = new PeftModel(await open("SEQ_CLS", model, oneLabel));
  trained.addAdapter("default", new LoraConfig({ taskType: "SEQ_CLS", r: 2 + seed }), { seed });
  await trained.ready();
  disturb(trained.activeAdapter, seed);
  const folder = temporaryFolder();
  await trained.savePretrained(folder);
  return { ranker: trained, folder };
}

async function policy(model: string): Promise<PeftModel<"CAUSAL_LM">> {
  const on = new PeftModel(await open("CAUSAL_LM", model));
  on.addAdapter("policy", new LoraConfig({ taskType: "CAUSAL_LM", r: 2 }));
  await on.ready();
  disturb(on.activeAdapter);
  return on;
}

test.each(["llama", "gpt2"])(
  "rankers on a %s that writes say what they say on a base of their own",
  async (name) => {
    const [one, two] = [await ranker(name, 1), await ranker(name, 2)];
    const model = await policy(name);
    await model.loadAdapter(one.folder, "one");
    await model.loadAdapter(two.folder, "two");
    expect(model.taskType).toBe("CAUSAL_LM");
    const written = await model.forward(batchOf("CAUSAL_LM", rows, undefined));
    const expected = [await one.ranker.forward(batch), await two.ranker.forward(batch)];
    expect(await model.scores(batch, { adapters: ["one"] })).toEqual(expected[0]?.logits.data);
    expect(await model.scores(batch, { adapters: ["two"] })).toEqual(expected[1]?.logits.data);
    expect(await model.forward(batchOf("CAUSAL_LM", rows, undefined))).toEqual(written);

    const out = temporaryFolder();
    await model.savePretrained(out);
    expect(readFileSync(join(out, "one", "adapter_model.safetensors"))).toEqual(
      readFileSync(join(one.folder, "adapter_model.safetensors")),
    );
    const json = JSON.parse(readFileSync(join(out, "one", "adapter_config.json"), "utf8"));
    expect(json).toMatchObject({ task_type: "SEQ_CLS", modules_to_save: ["classifier", "score"] });
  },
);

test("each token's score is the row's, were it the last", async () => {
  const { folder } = await ranker("llama", 1);
  const model = await policy("llama");
  await model.loadAdapter(folder, "ranker");
  const adapters = { adapters: ["ranker"] };
  const { shape, data } = await model.tokenScores(batch, adapters);
  expect(shape).toEqual([2, 6]);
  for (const [row, ids] of rows.entries())
    for (const end of ids.keys()) {
      const [score] = await model.scores(batchOf("SEQ_CLS", [ids.slice(0, end + 1)], undefined), adapters);
      expect(data[row * 6 + end]).toBeCloseTo(score!, 5);
    }
});

/** The mean of each row's tokens' values goes to 1. */
const toOne: Loss = {
  name: "to one",
  write: ({ g, logits, mask }) => {
    const isToken = g.cast(mask, "f32");
    const errors = g.mul(g.square(g.sub(g.squeeze(logits("every token"), -1), 1)), isToken);
    return { sum: g.sum(errors), count: g.sum(isToken) };
  },
};

test("a new critic trains beside a policy, which stays as it is, with the head that a base of its task has", async () => {
  const model: PeftModel = await policy("llama");
  const before = await model.forward(batchOf("CAUSAL_LM", rows, undefined));
  model.addAdapter("critic", new LoraConfig({ taskType: "SEQ_CLS", r: 2 }), { numLabels: 1 });
  model.setAdapter("critic");
  expect(model.taskType).toBe("SEQ_CLS");
  expect(model.config.numLabels).toBe(1);
  const alone = new PeftModel(await open("SEQ_CLS", "llama", oneLabel));
  alone.addAdapter("critic", new LoraConfig({ taskType: "SEQ_CLS", r: 2 }));
  expect(await model.scores(batch)).toEqual(await alone.scores(batch));
  const optimizer = new AdamW(model.trainableParameters(), { lr: 0.05 });
  const losses: number[] = [];
  for (let step = 0; step < 20; step++) {
    losses.push((await model.forwardBackward(batch, { loss: toOne })).loss);
    await optimizer.step();
  }
  expect(losses.at(-1)).toBeLessThan(0.1 * losses[0]!);
  model.setAdapter("policy");
  expect(await model.forward(batchOf("CAUSAL_LM", rows, undefined))).toEqual(before);
  expect((await model.generate({ inputIds: [[5, 7]] }, { maxNewTokens: 2 }))[0]).toHaveLength(4);
});

test("what the adapters' tasks do not allow is refused", async () => {
  const { folder } = await ranker("llama", 1);
  const model = await policy("llama");
  await model.loadAdapter(folder, "ranker");
  const adapters = ["ranker"];
  const generated = model.generate({ inputIds: [[5]] }, { adapters, maxNewTokens: 1 });
  await expect(generated).rejects.toMatchObject({ code: "generation" });
  expect(() => model.setAdapter(["policy", "ranker"])).toThrow("cannot be active together");
  await expect(model.scores(batch)).rejects.toMatchObject({ code: "option" });
  await expect(model.mergeAdapter({ adapterNames: adapters })).rejects.toThrow("its head is for SEQ_CLS");
  const rowByRow = model.forward(batchOf("CAUSAL_LM", rows, undefined), {
    adapterNames: ["ranker", "__base__"],
  });
  await expect(rowByRow).rejects.toMatchObject({ code: "batch" });
  expect(() => model.addAdapter("t", new LoraConfig({ taskType: "SEQ_2_SEQ_LM" }))).toThrow("no head");
  const other = await policy("gpt2");
  await expect(other.loadAdapter(folder, "ranker")).rejects.toMatchObject({ code: "adapter-mismatch" });
});

test("a disabled ranker leaves the base, for the base's own task", async () => {
  const model = await policy("llama");
  const { folder } = await ranker("llama", 1);
  await model.loadAdapter(folder, "ranker");
  const words = batchOf("CAUSAL_LM", rows, undefined);
  const base = await model.disableAdapter(() => model.forward(words));
  model.setAdapter("ranker");
  expect(await model.disableAdapter(() => model.forward(words))).toEqual(base);
});
