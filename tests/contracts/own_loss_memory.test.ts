import { expect, it, onTestFinished } from "vitest";
import type { Loss } from "../../src/losses/loss.js";
import { LoraConfig } from "../../src/methods/index.js";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { loadBase, otherBatch, sampleBatch } from "./kit.js";

// Losses of the user's own are counted as they are written, like the tasks' own.
const squares: Loss = {
  name: "squares",
  write: ({ g, logits }) => ({ sum: g.sum(g.square(logits())), count: g.scalar(1) }),
};
const absolutes: Loss = {
  name: "absolutes",
  write: ({ g, logits }) => ({ sum: g.sum(g.abs(logits())), count: g.scalar(1) }),
};

async function open(options: LoadOptions): Promise<PeftModel<"CAUSAL_LM">> {
  const base = await loadBase("CAUSAL_LM", "llama", options);
  onTestFinished(() => base.close());
  const model = new PeftModel(base);
  model.addAdapter("default", new LoraConfig({ r: 2, initLoraWeights: false }));
  return model;
}

const batch = sampleBatch("llama") as never;

it("a budget that cannot be met is said before the step", async () => {
  const model = await open({ maxMemory: "20MB" });
  const step = model.forwardBackward(batch, { loss: squares });
  await expect(step).rejects.toThrow(/\[option\].*does not fit into 20MB.*give at least/s);
});

it("an estimate is there, and grows with batches and with losses that take more", async () => {
  const model = await open({ maxMemory: "2GB" });
  await model.forwardBackward(batch, { loss: squares });
  const first = model.base.memoryEstimate!;
  expect(first.plan.name).toBe("fused");
  await model.forwardBackward(otherBatch("llama") as never, { loss: squares });
  expect(model.base.memoryEstimate!.bytes).toBeGreaterThan(first.bytes);
});

it("several losses by turns compile once each", async () => {
  const model = await open({ maxMemory: "2GB" });
  const turn = async (): Promise<void> => {
    await model.forwardBackward(batch, { loss: squares });
    await model.forwardBackward(batch, { loss: absolutes });
    await model.forwardBackward(batch);
  };
  await turn();
  const before = await model.base.runtime.compilations();
  await turn();
  expect(await model.base.runtime.compilations()).toBe(before);
});
