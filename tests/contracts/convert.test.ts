import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoraConfig, methods } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import {
  adapted,
  CLOSE,
  configFor,
  difference,
  disturb,
  loadBase,
  logitsOf,
  SAME,
  sampleBatch,
  temporaryFolder,
} from "./kit.js";

const batch = sampleBatch("llama");
let base: PreTrainedModel;
beforeAll(async () => {
  base = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
});
afterAll(() => base.close());

/** The logits of an adapter that was saved in a folder. */
async function loaded(folder: string): Promise<Float32Array> {
  const model = await PeftModel.fromPretrained(base, folder);
  const logits = await logitsOf(model, batch);
  await model.unload();
  return logits;
}

describe("convertToLora", () => {
  const layered = methods.filter(
    // BEFT changes biases alone
    ({ name, layers }) =>
      layers?.linear?.merge !== undefined && layers.copies === undefined && name !== "beft",
  );
  it.each(layered.map(({ name }) => name))(
    "%s as a LoRA of all its directions is what it was",
    async (name) => {
      const { model } = await adapted(base, configFor(name));
      const before = await logitsOf(model, batch);
      const folder = temporaryFolder();
      const { error, layers } = await model.convertToLora(folder, { energy: 1 });
      expect(error).toBeLessThan(1e-3);
      expect(layers.map(({ path }) => path)).toEqual([...model.activeAdapter.layers.keys()]);
      await model.unload();
      expect(difference(await loaded(folder), before)).toBeLessThan(CLOSE);
    },
  );

  it("says how much a rank leaves out, and takes the ranks that an energy needs", async () => {
    const { model } = await adapted(base, configFor("loha", { r: 4, targetModules: ["q_proj", "v_proj"] }));
    const folder = temporaryFolder();
    const two = await model.convertToLora(folder, { rank: 2 });
    const six = await model.convertToLora(folder, { rank: 6 });
    expect(two.layers.every(({ rank }) => rank === 2)).toBe(true);
    expect(six.error).toBeLessThan(two.error);
    const { error, layers } = await model.convertToLora(folder, { energy: 0.9 });
    expect(error).toBeLessThan(Math.sqrt(0.1));
    expect(Math.max(...layers.map((layer) => layer.error))).toBeLessThan(Math.sqrt(0.1));
    const one = await model.convertToLora(folder, { energy: 0.01 });
    expect(one.layers.every(({ rank }) => rank === 1)).toBe(true);
  });

  it("stands on the whole base where the adapter took a part of it", async () => {
    const config = new LoraConfig({ r: 3, initLoraWeights: "pissa", targetModules: ["q_proj"] });
    const { model } = await adapted(base, config);
    const before = await logitsOf(model, batch);
    const folder = temporaryFolder();
    const { layers } = await model.convertToLora(folder, { energy: 1 });
    expect(layers.every(({ rank }) => rank > 3)).toBe(true); // the base's part and the trained one
    await model.unload();
    expect(difference(await loaded(folder), before)).toBeLessThan(CLOSE);
  });

  it("keeps modules that train whole, and rows of tokens", async () => {
    const config = new LoraConfig({
      ...{ r: 2, useDora: true, targetModules: ["q_proj"] },
      ...{ modulesToSave: ["lm_head"], trainableTokenIndices: [5, 9] },
    });
    const { model } = await adapted(base, config);
    const before = await logitsOf(model, batch);
    const folder = temporaryFolder();
    await model.convertToLora(folder, { energy: 1 });
    await model.unload();
    expect(difference(await loaded(folder), before)).toBeLessThan(CLOSE);
  });

  it("refuses what no LoRA is, and writes nothing beyond maxError", async () => {
    const folder = temporaryFolder();
    const { model: prompt } = await adapted(base, configFor("prompt-tuning"));
    await expect(prompt.convertToLora(folder, { rank: 2 })).rejects.toThrow(/PROMPT_TUNING.*cannot become/);
    await prompt.unload();
    const biased = new LoraConfig({ r: 2, bias: "lora_only", targetModules: ["q_proj"] });
    const { model: trained } = await adapted(base, biased);
    await expect(trained.convertToLora(folder, { rank: 2 })).rejects.toThrow(/trains biases/);
    await trained.unload();
    const { model } = await adapted(base, configFor("loha", { r: 4 }));
    await expect(model.convertToLora(folder, { rank: 1, maxError: 0.01 })).rejects.toThrow(
      /would miss 0\.\d+ .* maxError is 0\.01.*energy: 0\.9999/,
    );
    await expect(model.convertToLora(folder, { rank: 1000 })).rejects.toThrow(/no more than \d+ directions/);
    await expect(model.convertToLora(folder, {})).rejects.toThrow(/Neither rank nor energy/);
    await expect(model.convertToLora(folder, { rank: 2, energy: 0.5 })).rejects.toThrow(
      /Both rank and energy/,
    );
    await expect(model.convertToLora(folder, { energy: 1.5 })).rejects.toThrow(/energy is 1\.5/);
    await expect(loaded(folder)).rejects.toThrow(/holds no adapter/);
  });
});

describe("hotswapAdapter", () => {
  /** A saved LoRA, and its logits. */
  async function saved(options: object, factor: number): Promise<{ folder: string; logits: Float32Array }> {
    const { model } = await adapted(base, new LoraConfig(options));
    disturb(model.activeAdapter, factor);
    const folder = temporaryFolder();
    await model.savePretrained(folder);
    const logits = await logitsOf(model, batch);
    await model.unload();
    return { folder, logits };
  }
  const targetModules = ["q_proj", "v_proj"];

  it("gives what loading gives, compiles nothing, and saves as what it is", async () => {
    const first = await saved({ r: 2, targetModules }, 1);
    const second = await saved({ r: 5, loraAlpha: 3, useRslora: true, targetModules }, 2);
    const model = await PeftModel.fromPretrained(base, first.folder);
    await logitsOf(model, batch);
    const before = await base.runtime.compilations();
    await model.hotswapAdapter(second.folder, "default");
    expect(model.activeAdapters).toEqual(["default"]);
    expect(difference(await logitsOf(model, batch), second.logits)).toBeLessThan(SAME);
    expect(await base.runtime.compilations()).toBe(before);
    const folder = temporaryFolder();
    await model.savePretrained(folder);
    await model.unload();
    expect(difference(await loaded(folder), second.logits)).toBeLessThan(SAME);
  });

  it("leaves layers without effect that the file lacks, and refuses others", async () => {
    const wide = await saved({ r: 2, targetModules }, 1);
    const narrow = await saved({ r: 3, targetModules: ["q_proj"] }, 2);
    const model = await PeftModel.fromPretrained(base, wide.folder);
    await model.hotswapAdapter(narrow.folder, "default");
    expect(difference(await logitsOf(model, batch), narrow.logits)).toBeLessThan(SAME);
    await model.unload();
    const other = await PeftModel.fromPretrained(base, narrow.folder);
    await expect(other.hotswapAdapter(wide.folder, "default")).rejects.toThrow(/cannot be swapped.*v_proj/);
    expect(difference(await logitsOf(other, batch), narrow.logits)).toBeLessThan(SAME);
    await other.mergeAdapter();
    await expect(other.hotswapAdapter(narrow.folder, "default")).rejects.toThrow(/it is merged/);
    await other.unmergeAdapter();
    const dora = await saved({ r: 2, useDora: true, targetModules: ["q_proj"] }, 1);
    await expect(other.hotswapAdapter(dora.folder, "default")).rejects.toThrow(/differ in useDora/);
    await expect(other.hotswapAdapter(dora.folder, "none")).rejects.toThrow(/no adapter "none"/);
    await other.unload();
  });
});
