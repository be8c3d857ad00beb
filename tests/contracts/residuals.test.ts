import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { LoraConfig } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { CLOSE, difference, disturb, loadBase, logitsOf, sampleBatch, temporaryFolder } from "./kit.js";

// PiSSA and OLoRA take a part of the base's weights into the adapter: what is left must come back when the
// adapter goes.
const batch = sampleBatch("llama");
const models: PeftModel[] = [];
let base: PreTrainedModel;
let plain: Float32Array;
beforeAll(async () => {
  base = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
  plain = await logitsOf(base, batch);
});
afterEach(async () => {
  for (const model of models.splice(0).reverse()) await model.unload();
  expect(base.runtime.patches).toEqual([]);
  expect(await logitsOf(base, batch)).toEqual(plain);
});
afterAll(() => base.close());

function start(initLoraWeights: LoraConfig["initLoraWeights"] = "pissa", r = 4): PeftModel {
  const model = new PeftModel(base);
  models.push(model);
  model.addAdapter("default", new LoraConfig({ r, targetModules: ["q_proj"], initLoraWeights }));
  return model;
}
const ordinary = new LoraConfig({ r: 4, targetModules: ["v_proj"] });

describe.each(["pissa", "olora", "pissa_niter_4"] as const)("%s", (init) => {
  it("starts with the base's logits, and changes the base's weights", async () => {
    const model = start(init);
    expect(difference(await logitsOf(model, batch), plain)).toBeLessThan(CLOSE);
    expect(difference(await logitsOf(base, batch), plain)).toBeGreaterThan(1e-3);
  });

  it("gives the base back when it is deleted, to the bit", async () => {
    const model = start(init);
    model.addAdapter("other", ordinary);
    await model.forward(batch);
    model.deleteAdapter("default");
    expect(difference(await logitsOf(model, batch), plain)).toBeLessThan(CLOSE);
    expect(await logitsOf(base, batch)).toEqual(plain);
  });

  it("gives the base back even when it is deleted before it was ready", async () => {
    const model = start(init);
    model.deleteAdapter("default");
    await model.ready();
    expect(await logitsOf(base, batch)).toEqual(plain);
  });

  it("saves and loads on the same base once it is free", async () => {
    const model = start(init);
    await model.ready();
    disturb(model.activeAdapter, 0.1);
    const before = await logitsOf(model, batch);
    const folder = temporaryFolder();
    await model.savePretrained(folder);
    await expect(PeftModel.fromPretrained(base, folder)).rejects.toThrow(
      /\[adapter-config\].*cannot start on this base.*keeps a part/,
    );
    expect(await logitsOf(model, batch)).toEqual(before);
    await model.unload();
    const again = await PeftModel.fromPretrained(base, folder);
    models.push(again);
    if (init !== "pissa_niter_4")
      expect(difference(await logitsOf(again, batch), before)).toBeLessThan(CLOSE);
  });

  it("merges, unmerges and unloads", async () => {
    const model = start(init);
    await model.ready();
    disturb(model.activeAdapter, 0.1);
    const before = await logitsOf(model, batch);
    await model.mergeAdapter();
    expect(difference(await logitsOf(model, batch), before)).toBeLessThan(CLOSE);
    model.addAdapter("other", ordinary);
    expect(() => model.deleteAdapter("default")).toThrow(/unmergeAdapter/);
    await model.unmergeAdapter();
    expect(await logitsOf(model, batch)).toEqual(before);
  });
});

it("merged and unloaded, it stays in the base", async () => {
  const own = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
  const model = new PeftModel(own);
  model.addAdapter("default", new LoraConfig({ r: 4, targetModules: ["q_proj"], initLoraWeights: "pissa" }));
  await model.ready();
  disturb(model.activeAdapter, 0.1);
  const before = await logitsOf(model, batch);
  const whole = await model.mergeAndUnload();
  expect(difference(await logitsOf(whole, batch), before)).toBeLessThan(CLOSE);
  expect(own.runtime.patches).toEqual([]);
  await own.close();
});

it("another adapter merged and unloaded does not take its residual along", async () => {
  const own = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
  const model = new PeftModel(own);
  model.addAdapter("plain", ordinary);
  await model.ready();
  disturb(model.activeAdapter);
  const before = await logitsOf(model, batch);
  model.addAdapter("pissa", new LoraConfig({ r: 4, targetModules: ["q_proj"], initLoraWeights: "pissa" }));
  await model.mergeAdapter({ adapterNames: ["plain"] });
  const whole = await model.mergeAndUnload({ adapterNames: ["plain"] });
  expect(difference(await logitsOf(whole, batch), before)).toBeLessThan(CLOSE);
  await own.close();
});

it("two on one base are an error, and the second one is gone", async () => {
  const model = start();
  await model.ready();
  const before = await logitsOf(model, batch);
  model.addAdapter("second", new LoraConfig({ r: 2, targetModules: ["v_proj"], initLoraWeights: "olora" }));
  await expect(model.forward(batch)).rejects.toThrow(/"second" cannot start.*adapter "default" keeps a part/);
  expect([...model.adapters.keys()]).toEqual(["default"]);
  expect(await logitsOf(model, batch)).toEqual(before);
});

it("a start that fails says so once, and leaves the model usable", async () => {
  const model = start("pissa", 64);
  await expect(model.forward(batch)).rejects.toThrow(/\[adapter-config\].*r is 64/);
  expect(model.adapters.size).toBe(0);
  expect(await logitsOf(model, batch)).toEqual(plain);
});

it("two PeftModels do not merge into one base at once", async () => {
  const [one, two] = [new PeftModel(base), new PeftModel(base)];
  models.push(one, two);
  for (const model of [one, two]) {
    model.addAdapter("default", ordinary);
    await model.ready();
    disturb(model.activeAdapter);
  }
  await one.mergeAdapter();
  await expect(two.mergeAdapter()).rejects.toThrow(
    /another PeftModel changed its weights: default are merged/,
  );
  await one.unmergeAdapter();
  await two.mergeAdapter();
  await two.unmergeAdapter();
});
