import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { methods } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { TextBatch } from "../../src/trace/feeds.js";
import type { Kind } from "./kit.js";
import {
  adapted,
  CLOSE,
  configFor,
  difference,
  disturb,
  loadBase,
  logitsOf,
  otherBatch,
  SAME,
  sampleBatch,
  TASKS,
  temporaryFolder,
} from "./kit.js";

/** Methods that merge into a kind of model: into its biases, where it has some. */
function mergeable(kind: Kind): string[] {
  return methods
    .filter(({ layers }) => layers !== undefined && (layers.linear === undefined || layers.linear.merge))
    .filter(({ layers }) => layers?.linear?.mergesInto !== "bias" || kind === "bert")
    .map((m) => m.name);
}

// What every method promises on every kind of model. A new method is here by being in the index.
describe.each(Object.keys(TASKS) as Kind[])("on %s", (kind) => {
  let base: PreTrainedModel;
  let plain: Float32Array;
  const batch = sampleBatch(kind);
  beforeAll(async () => {
    base = (await loadBase(TASKS[kind], kind)) as unknown as PreTrainedModel;
    plain = await logitsOf(base, batch);
  });
  afterAll(() => base.close());

  // adaption prompts know Llama's attention, as in Python
  const known = methods.filter(
    (m) =>
      (m.attention === undefined || kind === "llama") &&
      m.tasks?.(configFor(m.name))?.includes(TASKS[kind]) !== false,
  );
  describe.each(known.map((m) => m.name))("%s", (method) => {
    it("changes the logits, and leaves no trace when it is taken off", async () => {
      const { model } = await adapted(base, configFor(method));
      const changed = await logitsOf(model, batch);
      if (changed.length === plain.length) expect(difference(changed, plain)).toBeGreaterThan(1e-3);
      await model.unload();
      expect(model.adapters.size).toBe(0);
      expect(await logitsOf(base, batch)).toEqual(plain);
    });

    it("is off inside disableAdapter and what it was afterwards", async () => {
      const { model } = await adapted(base, configFor(method));
      const before = await logitsOf(model, batch);
      const inside = await model.disableAdapter(() => logitsOf(model, batch));
      expect(difference(inside, plain)).toBeLessThan(SAME);
      expect(difference(await logitsOf(model, batch), before)).toBeLessThan(SAME);
      const failing = model.disableAdapter(() => Promise.reject(new Error("stop")));
      await expect(failing).rejects.toThrow("stop");
      expect(difference(await logitsOf(model, batch), before)).toBeLessThan(SAME);
    });

    it("saves and loads: logits, state, config, no missing keys", async () => {
      const { model } = await adapted(base, configFor(method));
      const before = await logitsOf(model, batch);
      const folder = temporaryFolder();
      await model.savePretrained(folder);
      const again = new PeftModel(base, (warning) => expect.fail(`${warning}`));
      const keys = await again.loadAdapter(folder, "default");
      expect(keys).toEqual({ missing: [], unexpected: [] });
      expect(difference(await logitsOf(again, batch), before)).toBeLessThan(CLOSE);
      // CPT's file has the sum of what is fixed and what moves, which is a new start, as in Python
      for (const entry of method === "cpt" ? [] : model.activeAdapter.entries.values())
        expect(again.activeAdapter.entries.get(entry.key)?.data).toEqual(entry.data);
      const second = temporaryFolder();
      await again.savePretrained(second);
      const names = readdirSync(folder).filter((name) => /config\.json$|\.safetensors$/.test(name));
      expect(names.length).toBeGreaterThan(1);
      for (const name of names)
        expect(readFileSync(join(second, name))).toEqual(readFileSync(join(folder, name)));
    });

    it("warns of unknown keys in its config, and reads the rest", async () => {
      const { model } = await adapted(base, configFor(method));
      const folder = temporaryFolder();
      await model.savePretrained(folder);
      const path = join(folder, "adapter_config.json");
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), brand_new: 1 }));
      const warnings: string[] = [];
      const again = new PeftModel(base, (w) => warnings.push(`${w}`));
      await again.loadAdapter(folder, "default");
      expect(warnings).toEqual([expect.stringContaining("brand_new")]);
    });

    it("gives gradients to its own tensors alone, and leaves the base as it was", async () => {
      const { model } = await adapted(base, configFor(method));
      await model.forwardBackward(batch, { training: false });
      const parameters = model.trainableParameters();
      const names = new Set(base.runtime.weights.inventory.weights.keys());
      const trained = parameters.list.filter((p, i) => parameters.gradientOf(i).some((x) => x !== 0) && p);
      expect(trained.length).toBeGreaterThan(0);
      for (const { name } of trained)
        expect(!names.has(name) || model.activeAdapter.replaced.has(name)).toBe(true);
      for (const p of parameters.list) p.data.forEach((x, i) => void (p.data[i] = x + 0.01));
      parameters.zero();
      expect(await logitsOf(base, batch)).toEqual(plain);
    });

    it("serves every batch shape with one compiled graph", async () => {
      const { model } = await adapted(base, configFor(method));
      base.runtime.encoderStates.clear(); // else the encoder may not be asked before the second batch
      const run = async (b: TextBatch): Promise<void> => {
        await model.forward(b);
        await model.forwardBackward(b);
      };
      await run(batch);
      const before = await base.runtime.compilations();
      await run(otherBatch(kind));
      expect(await base.runtime.compilations()).toBe(before);
    });
  });

  it.each(
    methods.filter((m) => m.layers !== undefined && !/^(vblora|unilora)$/.test(m.name)).map((m) => m.name),
  )("a fresh %s equals the base", async (method) => {
    const model = new PeftModel(base);
    model.addAdapter("default", configFor(method));
    expect(difference(await logitsOf(model, batch), plain)).toBeLessThan(SAME);
    await model.unload();
  });

  describe.each(mergeable(kind))("%s merges", (method) => {
    it("into the base and out of it again", async () => {
      const { model, warnings } = await adapted(base, configFor(method));
      const before = await logitsOf(model, batch);
      await model.mergeAdapter();
      const merged = await logitsOf(model, batch);
      expect(difference(merged, before)).toBeLessThan(CLOSE);
      expect(difference(merged, plain)).toBeGreaterThan(1e-3);
      expect(warnings).toEqual([]);
      await model.mergeAdapter();
      expect(warnings).toEqual([expect.stringContaining("merged already")]);
      expect(await logitsOf(model, batch)).toEqual(merged);
      await model.unmergeAdapter();
      expect(await logitsOf(model, batch)).toEqual(before);
      await model.unload();
      expect(await logitsOf(base, batch)).toEqual(plain);
    });

    it("refuses NaN where it is told to be safe, and leaves all as it was", async () => {
      const { model } = await adapted(base, configFor(method));
      const adapter = model.activeAdapter;
      const entry = [...adapter.entries.values()].find((e) => !e.frozen && !adapter.replaced.has(e.key))!;
      const good = await logitsOf(model, batch);
      const value = entry.data[0]!;
      entry.data[0] = Number.NaN;
      adapter.state.touch();
      await expect(model.mergeAdapter({ safe: true })).rejects.toThrow(/\[adapter-config\].*NaN/);
      entry.data[0] = value;
      adapter.state.touch();
      expect(await logitsOf(model, batch)).toEqual(good);
    });
  });
});

describe.each(Object.keys(TASKS) as Kind[])("merged and unloaded, %s is a plain model that saves", (kind) => {
  it.each(mergeable(kind))("%s", async (method) => {
    const base = (await loadBase(TASKS[kind], kind)) as unknown as PreTrainedModel;
    const batch = sampleBatch(kind);
    try {
      const model = new PeftModel(base);
      model.addAdapter("default", configFor(method));
      await model.ready();
      disturb(model.activeAdapter);
      const before = await logitsOf(model, batch);
      const whole = await model.mergeAndUnload({ safe: true });
      expect(difference(await logitsOf(whole, batch), before)).toBeLessThan(CLOSE);
      const folder = temporaryFolder();
      await whole.savePretrained(folder);
      const { PreTrainedModel } = await import("../../src/peft/base_model.js");
      const again = await PreTrainedModel.load(TASKS[kind], folder, { threads: 1 });
      expect(difference(await logitsOf(again as never, batch), before)).toBeLessThan(CLOSE);
      await again.close();
    } finally {
      await base.close();
    }
  });
});

it("a method of biases says which layer has none", async () => {
  const base = (await loadBase(TASKS.llama, "llama")) as unknown as PreTrainedModel;
  const { model } = await adapted(base, configFor("beft"));
  expect(model.isMergeable).toBe(false);
  await expect(model.mergeAdapter()).rejects.toThrow(/it changes biases, and model.layers.0.* has none/);
  await base.close();
});
