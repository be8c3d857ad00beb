import { expect, it, onTestFinished } from "vitest";
import { AdaLoraConfig, LoraConfig } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { AdamW } from "../../src/train/adamw.js";
import { loadBase, sampleBatch } from "./kit.js";

// AdaLoRA beside another active adapter reads its own gradient, wherever it stands in the list.
const batch = sampleBatch("llama") as never;

async function open(): Promise<PreTrainedModel<"CAUSAL_LM">> {
  const base = await loadBase("CAUSAL_LM", "llama");
  onTestFinished(() => base.close());
  return base;
}

/** Trains for some steps; the tensors of the AdaLoRA adapter after them. */
async function train(
  model: PeftModel<"CAUSAL_LM">,
  active: readonly string[],
): Promise<Map<string, Float32Array>> {
  await model.ready();
  model.setAdapter(active);
  const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-2, weightDecay: 0 });
  for (let step = 1; step <= 6; step++) {
    await model.forwardBackward(batch, { training: false });
    await optimizer.step();
    model.updateAndAllocate(step);
  }
  return new Map(
    [...model.adapters.get("ada")!.entries.values()].map(({ key, data }) => [key, data.slice()]),
  );
}

const schedule = {
  initR: 4,
  targetR: 2,
  tinit: 1,
  tfinal: 1,
  totalStep: 6,
  orthRegWeight: 0,
  targetModules: ["q_proj"],
};

it("takes the ranks away that it would take away by itself", async () => {
  const alone = new PeftModel(await open());
  alone.addAdapter("ada", new AdaLoraConfig(schedule), { seed: 3 });
  const expected = await train(alone, ["ada"]);
  const model = new PeftModel(await open());
  model.addAdapter("still", new LoraConfig({ r: 2, targetModules: ["o_proj"] }));
  model.addAdapter("ada", new AdaLoraConfig(schedule), { seed: 3 });
  await model.ready();
  // without A there is no gradient for B, nor one for A without B: it stays as it is
  const still = model.adapters.get("still")!;
  for (const { data } of still.entries.values()) data.fill(0);
  still.state.touch();
  const together = await train(model, ["still", "ada"]);
  const values = [...expected].filter(([key]) => key.endsWith(".lora_E"));
  const kept = values.reduce((n, [, data]) => n + data.filter((x) => x !== 0).length, 0);
  expect(kept).toBe(2 * values.length);
  expect(together).toEqual(expected);
});

it("all active adapters are planned, and all that they remember is saved", async () => {
  const model = new PeftModel(await open());
  const { totalStep: _, ...open_ } = schedule;
  model.addAdapter("still", new LoraConfig({ r: 2, targetModules: ["o_proj"] }));
  model.addAdapter("ada", new AdaLoraConfig(open_), { seed: 3 });
  await model.ready();
  model.setAdapter(["still", "ada"]);
  expect(model.allocationState().map(({ name }) => name)).toEqual(
    expect.arrayContaining([expect.stringMatching(/^ada\/sensitivity\./)]),
  );
});
