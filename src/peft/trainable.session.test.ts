import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { collate } from "../data/collate.js";
import { LoraConfig } from "../methods/lora.js";
import { PromptTuningConfig } from "../methods/prompt_tuning.js";
import { AutoModelForCausalLM } from "./auto.js";
import type { PreTrainedModel } from "./base_model.js";
import { getPeftModel } from "./get_peft_model.js";
import type { TrainableModel } from "./trainable.js";

type Model = TrainableModel<"CAUSAL_LM">;
const ids = new Int32Array([5, 6, 7, 8]);
const batch = collate(
  [0, 1].map((row) => ({
    task: "CAUSAL_LM" as const,
    row,
    at: "",
    inputIds: ids.map((id) => id + row),
    labels: ids,
  })),
  { padTokenId: 0, paddingSide: "right" },
);

let base: PreTrainedModel<"CAUSAL_LM">;
let folder: string;
beforeEach(async () => {
  const kit = fileURLToPath(new URL("../../tests/kit/models/gpt2", import.meta.url));
  base = await AutoModelForCausalLM.fromPretrained(kit, { threads: 1 });
  folder = mkdtempSync(join(tmpdir(), "peft-trainable-"));
});
afterEach(async () => {
  await base.close();
  rmSync(folder, { recursive: true });
});

/** One step down the gradient, as an optimizer would take it. */
async function descend(model: Model): Promise<void> {
  const parameters = model.trainableParameters();
  await model.forwardBackward(batch, { training: false });
  await parameters.change(async () => {
    for (const [i, { data }] of parameters.list.entries()) {
      const gradient = parameters.gradientOf(i);
      for (let k = 0; k < data.length; k++) data[k]! -= (0.01 * gradient[k]!) / parameters.count;
    }
    parameters.zero();
  });
}

describe("what training asks of a model", () => {
  const models: [string, () => Model, readonly string[]][] = [
    ["a base, all of it", () => base, []],
    [
      "a PeftModel, its adapter",
      () => getPeftModel(base, new LoraConfig({ r: 2, initLoraWeights: false })),
      ["README.md", "adapter_config.json", "adapter_model.safetensors"],
    ],
  ];
  it.each(models)("%s", async (_, make, saved) => {
    const model = make();
    const parameters = model.trainableParameters();
    expect(model.trainableParameters()).toBe(parameters);
    await model.ready();
    expect(model.getNbTrainableParameters().trainable).toBe(parameters.size);
    const untrained = await model.disableAdapter(() => model.lossOf(batch));
    const before = await model.lossOf(batch);
    await descend(model);
    expect((await model.lossOf(batch)).loss).toBeLessThan(before.loss);
    expect(await model.disableAdapter(() => model.lossOf(batch))).toEqual(untrained);
    await expect(model.disableAdapter(() => model.forwardBackward(batch))).rejects.toThrow(/\[training\]/);
    model.planSteps(3);
    model.updateAndAllocate(1);
    expect(model.allocationState()).toEqual([]);
    await model.planMemory({ batch: 200, seq: 3 });
    const { memoryEstimate } = base;
    await model.forwardBackward(batch);
    await model.planMemory({ batch: 100, seq: 3 }, "loss");
    expect(base.memoryEstimate).toBe(memoryEstimate);
    model.trainableParameters().zero();
    await model.saveInCheckpoint(folder);
    expect(readdirSync(folder).toSorted()).toEqual(saved);
    expect(model.base).toBe(base);
    expect(model.maxPositions).toBe(base.maxPositions);
  });

  it("virtual tokens take positions", () => {
    const prompted = getPeftModel(base, new PromptTuningConfig({ numVirtualTokens: 3 }));
    expect(prompted.maxPositions).toBe(base.maxPositions - 3);
    expect(prompted.adapterConfig?.peftType).toBe("PROMPT_TUNING");
  });
});

describe("the parameters of a base", () => {
  it("are its weights once it is ready", async () => {
    const parameters = base.trainableParameters();
    await base.ready();
    for (const { name, data } of parameters) expect(data).toEqual(await base.runtime.weight(name));
  });

  it("that cannot be read: every call that needs them says so, and the next one tries again", async () => {
    const { loss } = await base.lossOf(batch);
    vi.spyOn(base.runtime, "weight").mockRejectedValueOnce(new Error("the disk is gone"));
    base.trainableParameters();
    const called = base.forwardBackward(batch);
    await expect(base.ready()).rejects.toThrow("the disk is gone");
    await expect(called).rejects.toThrow("the disk is gone");
    expect((await base.lossOf(batch)).loss).toBe(loss);
    await descend(base);
    expect((await base.lossOf(batch)).loss).toBeLessThan(loss);
  });
});
