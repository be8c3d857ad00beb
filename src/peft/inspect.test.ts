import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { isTaskType } from "../tasks/registry.js";
import { AutoConfig } from "./auto_config.js";
import { inspect, inspectAdapter } from "./inspect.js";

const kit = fileURLToPath(new URL("../../tests/kit/", import.meta.url));
const t5 = join(kit, "models/t5-text");

describe("counts are Python's, of", () => {
  it.each(readdirSync(join(kit, "cases")))("%s", async (name) => {
    const folder = join(kit, "cases", name);
    const { model, task, trainable, total } = JSON.parse(readFileSync(join(folder, "case.json"), "utf8"));
    const { config } = await inspectAdapter(folder);
    const found = await inspect(join(kit, model), {
      adapter: config,
      taskType: isTaskType(task) ? task : undefined,
    });
    expect(found.adapter).toMatchObject({ trainable, total, bytes: 4 * trainable });
  });
});

it("a model is its config, its layers and what its class is for", async () => {
  const { taskType, config, parameters, layers, defaultTargets, adapter, memory } = await inspect(t5);
  expect([taskType, config.modelType, parameters]).toEqual(["SEQ_2_SEQ_LM", "t5", 68_864]);
  expect(layers).toHaveLength(42);
  expect(layers[0]).toEqual({
    path: "encoder.block.0.layer.0.SelfAttention.q",
    shape: [32, 32],
    isTarget: false,
  });
  expect(defaultTargets).toEqual(["q", "v"]);
  expect([adapter, memory]).toEqual([undefined, undefined]);
});

it("a step's memory is counted for the sizes that are asked for, within the budget", async () => {
  const sizes = { batchSize: 2, length: 16, targetLength: 4 };
  const { memory } = await inspect(t5, { memory: { ...sizes, maxMemory: "4GB" } });
  expect(memory).toMatchObject({ ...sizes, budget: 4 * 2 ** 30, stored: "f32" });
  expect(memory!.table.map(({ format }) => format)).toEqual(["f32", "bf16", "int8", "int4", "nf4"]);
  expect(memory!.table.every(({ auto }) => auto?.plan.name === "fused")).toBe(true);
  const none = await inspect(t5, { memory: { ...sizes, maxMemory: "20MB" } });
  expect(none.memory!.table.every(({ auto }) => auto === undefined)).toBe(true);
  const least = await inspect(t5, { memory: { ...sizes, maxMemory: none.memory!.smallestBudget } });
  expect(least.memory!.table.some(({ auto }) => auto !== undefined)).toBe(true);
  expect((await inspect(t5, { memory: {} })).memory).toMatchObject({ batchSize: 8, length: 512 });
});

it("an unknown option is an error, also of the step's sizes", async () => {
  const wrong = { memory: { seq: 4 } } as object;
  await expect(inspect(t5, wrong)).rejects.toMatchObject({ code: "option" });
});

it("config.json says what a model was made for", async () => {
  const base = await AutoConfig.fromPretrained(join(kit, "models/llama-seq_cls"));
  expect([base.taskType, base.json["model_type"], base.labels]).toEqual(["SEQ_CLS", "llama", undefined]);
  expect((await AutoConfig.fromPretrained(join(kit, "models/bert-feature_extraction"))).taskType).toBe(
    undefined,
  );
});

it("an adapter says which head its base needs", async () => {
  const folder = join(kit, "cases/llama-seq_cls--lora");
  const base = await AutoConfig.fromPretrained(join(kit, "models/llama-seq_cls"));
  const { config, numLabels, vocabSize } = await inspectAdapter(folder, { base });
  expect([config.peftType, config.taskType]).toEqual(["LORA", "SEQ_CLS"]);
  expect([numLabels, vocabSize]).toEqual([4, undefined]);
});

it("and which vocabulary", async () => {
  const folder = join(kit, "cases/llama--lora-modules-to-save"); // it brings lm_head, [96, 32]
  const base = await AutoConfig.fromPretrained(join(kit, "models/llama"));
  const sizeOn = async (vocab_size: number): Promise<number | undefined> =>
    (await inspectAdapter(folder, { base: { ...base, json: { ...base.json, vocab_size } } })).vocabSize;
  expect([await sizeOn(96), await sizeOn(90)]).toEqual([undefined, 96]);
});

it("an adapter that trains rows of tokens beyond the vocabulary needs a base that has them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "peft-inspect-"));
  cpSync(join(kit, "cases/llama--lora"), folder, { recursive: true });
  const path = join(folder, "adapter_config.json");
  const base = await AutoConfig.fromPretrained(join(kit, "models/llama"));
  const tokens = Number(base.json["vocab_size"]);
  const json = JSON.parse(readFileSync(path, "utf8"));
  for (const [ids, needed] of [
    [[0, tokens - 1], undefined],
    [[3, tokens + 1], tokens + 2],
  ] as const) {
    writeFileSync(path, JSON.stringify({ ...json, trainable_token_indices: ids }));
    expect((await inspectAdapter(folder, { base })).vocabSize).toBe(needed);
  }
  rmSync(folder, { recursive: true });
});
