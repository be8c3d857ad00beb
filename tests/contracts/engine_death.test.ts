import type { Worker } from "node:worker_threads";
import { expect, it, onTestFinished, vi } from "vitest";
import { Engine } from "../../src/engine/engine.js";
import { OUT_OF_MEMORY } from "../../src/engine/out_of_memory.js";
import { PeftError } from "../../src/errors.js";
import { LoraConfig } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { loadBase, sampleBatch } from "./kit.js";

// What a model says when its engine dies or has too little memory.
const workers = vi.hoisted((): Worker[] => []);
vi.mock("../../src/engine/spawn.js", async (original) => {
  const { spawnWorker } = await original<typeof import("../../src/engine/spawn.js")>();
  return {
    spawnWorker: (gate: Parameters<typeof spawnWorker>[0]) => {
      const worker = spawnWorker(gate);
      workers.push(worker);
      return worker;
    },
  };
});

async function open<T extends "CAUSAL_LM" | "SEQ_2_SEQ_LM">(task: T, name: string): Promise<PeftModel<T>> {
  const base = (await loadBase(task, name)) as PreTrainedModel<T>;
  onTestFinished(() => base.close());
  const model = new PeftModel(base);
  model.addAdapter("default", new LoraConfig({ r: 2 }));
  return model;
}

it("what runs when the worker is killed is refused, and what is called after it has another: same numbers", async () => {
  const batch = sampleBatch("llama") as never;
  const model = await open("CAUSAL_LM", "llama");
  const kill = (): Promise<unknown> => workers.at(-1)!.terminate();
  const first = await model.forward(batch);
  const answer = await model.generate({ inputIds: [[5]] }, { maxNewTokens: 2 });
  const under = model.forward(batch);
  const started = workers.length;
  await kill();
  await expect(under).rejects.toThrow(/The engine is not running: its worker ended with code 1/);
  const [again, more] = await Promise.all([model.forward(batch), model.lossOf(batch)]);
  expect(again.logits).toEqual(first.logits);
  expect(more.loss).toBeCloseTo(first.loss!, 6);
  await kill();
  expect(await model.generate({ inputIds: [[5]] }, { maxNewTokens: 2 })).toEqual(answer);
  await kill();
  await model.forwardBackward(batch);
  expect(workers.length).toBe(started + 3); // one each, however many call at once
});

it("weights that merging changed are those of the next engine too", async () => {
  const batch = sampleBatch("llama") as never;
  const model = await open("CAUSAL_LM", "llama");
  for (const { data } of model.activeAdapter.entries.values()) data.fill(0.1);
  await model.mergeAdapter();
  const merged = await model.forward(batch);
  await workers.at(-1)!.terminate();
  expect((await model.forward(batch)).logits).toEqual(merged.logits);
  await workers.at(-1)!.terminate();
  await model.unmergeAdapter();
  const apart = await model.forward(batch);
  expect(apart.loss).toBeCloseTo(merged.loss!, 4);
});

it.each([
  ["CAUSAL_LM", "llama"],
  ["SEQ_2_SEQ_LM", "t5"],
] as const)("want of memory names the smallest budget that a run would do with: %s", async (task, name) => {
  const batch = sampleBatch(name) as never;
  const model = await open(task, name);
  await model.forwardBackward(batch);
  const cause = OUT_OF_MEMORY;
  const error = new PeftError("engine", {
    what: "ONNX Runtime failed: std::bad_alloc",
    why: "",
    fix: "",
    cause,
  });
  const run = vi.spyOn(Engine.prototype, "run").mockRejectedValue(error);
  onTestFinished(() => run.mockRestore());
  await expect(model.forwardBackward(batch)).rejects.toThrow(
    /\[engine\].*bad_alloc.*at least \d+MB.*maxMemory: "\d+MB"/s,
  );
  const least = /\[engine\].*bad_alloc.*this run takes at least \d+MB.*plan: "streamed"/s;
  await expect(model.forward(batch)).rejects.toThrow(least);
  await expect(model.generate({ inputIds: [[5]] })).rejects.toThrow(least);
});
