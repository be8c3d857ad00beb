import { expect, it } from "vitest";
import { LoraConfig, PrefixTuningConfig } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import type { LoadOptions, PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { budgetFor } from "../../src/plan/choose_plan.js";
import { disturb, loadBase, sampleBatch } from "./kit.js";

// The encoder's output is computed once per sample where nothing trained is below it.

async function encodedIn(
  config: AdapterConfig,
  dropout: number,
  options: Pick<LoadOptions, "maxMemory"> = {},
): Promise<{ counts: number[]; losses: number[] }> {
  const base = (await loadBase("SEQ_2_SEQ_LM", "t5", {
    config: { dropout_rate: dropout },
    ...options,
  })) as PreTrainedModel;
  const model = new PeftModel(base);
  model.addAdapter("default", config);
  await model.ready();
  disturb(model.activeAdapter);
  const batch = sampleBatch("t5");
  const counts: number[] = [];
  const losses: number[] = [];
  for (let epoch = 0; epoch < 3; epoch++) {
    losses.push((await model.forwardBackward(batch)).loss);
    counts.push(base.runtime.encoderStates.encoded);
  }
  // what the pass without gradient, which keeps nothing, says of the same batch
  losses.push((await model.lossOf(batch)).loss);
  await base.close();
  return { counts, losses };
}

it("is kept with a prefix, which reaches the decoder only", async () => {
  const { counts, losses } = await encodedIn(new PrefixTuningConfig({ numVirtualTokens: 3 }), 0);
  expect(counts).toEqual([2, 2, 2]);
  for (const loss of losses) expect(loss).toBeCloseTo(losses[0]!, 5);
});

it("is kept with LoRA on the decoder alone", async () => {
  const { counts, losses } = await encodedIn(new LoraConfig({ r: 2, targetModules: "decoder.*\\.(q|v)" }), 0);
  expect(counts).toEqual([2, 2, 2]);
  for (const loss of losses) expect(loss).toBeCloseTo(losses[0]!, 5);
});

it("is not kept where the encoder is adapted, or drops", async () => {
  expect((await encodedIn(new LoraConfig({ r: 2 }), 0)).counts).toEqual([0, 0, 0]);
  expect((await encodedIn(new PrefixTuningConfig({ numVirtualTokens: 3 }), 0.1)).counts).toEqual([0, 0, 0]);
});

it("is not kept where a budget has no room for it", async () => {
  const config = (): AdapterConfig => new PrefixTuningConfig({ numVirtualTokens: 3 });
  const least = await smallestBudget(config());
  expect((await encodedIn(config(), 0, { maxMemory: least })).counts).toEqual([2, 4, 6]);
  expect((await encodedIn(config(), 0, { maxMemory: "2GB" })).counts).toEqual([2, 2, 2]);
});

/** Bytes that a step's plan takes to the last, by its estimate. */
async function smallestBudget(config: AdapterConfig): Promise<number> {
  const base = (await loadBase("SEQ_2_SEQ_LM", "t5", { maxMemory: "2GB" })) as PreTrainedModel;
  const model = new PeftModel(base);
  model.addAdapter("default", config);
  await model.forwardBackward(sampleBatch("t5"));
  const { bytes } = base.memoryEstimate!;
  await base.close();
  return budgetFor(bytes);
}
