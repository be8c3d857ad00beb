import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { LoraConfig, PrefixTuningConfig, PromptTuningConfig } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import {
  batchOf,
  CLOSE,
  difference,
  disturb,
  ids,
  loadBase,
  logitsOf,
  SAME,
  sampleBatch,
  temporaryFolder,
} from "./kit.js";

// Several adapters on one base: switching, mixing, deleting, names, files.
const batch = sampleBatch("llama");
let base: PreTrainedModel;
let plain: Float32Array;
beforeAll(async () => {
  base = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
  plain = await logitsOf(base, batch);
});
afterAll(() => base.close());

const lora = (r = 4, targetModules = ["q_proj", "v_proj"]): LoraConfig =>
  new LoraConfig({ r, targetModules });

/** A model with these adapters, each with values of its own. */
async function withAdapters(configs: Readonly<Record<string, AdapterConfig>>): Promise<PeftModel> {
  const model = new PeftModel(base);
  onTestFinished(async () => void (await model.unload()));
  for (const [i, [name, config]] of Object.entries(configs).entries()) {
    model.addAdapter(name, config);
    await model.ready();
    disturb(model.adapters.get(name)!, 0.5 + i);
  }
  return model;
}

async function alone(model: PeftModel, name: string): Promise<Float32Array> {
  model.setAdapter(name);
  return logitsOf(model, batch);
}

describe("switching", () => {
  it("compiles nothing: another adapter, another rank, off, rows of a batch", async () => {
    const model = await withAdapters({ one: lora(4), two: lora(4), small: lora(2) });
    const one = await alone(model, "one");
    await model.forward(batch, { adapterNames: ["one", "two"] });
    const before = await base.runtime.compilations();
    const two = await alone(model, "two");
    const small = await alone(model, "small");
    const off = await model.disableAdapter(() => logitsOf(model, batch));
    await model.forward(batch, { adapterNames: ["small", "one"] });
    expect(await base.runtime.compilations()).toBe(before);
    expect(difference(one, two)).toBeGreaterThan(1e-3);
    expect(difference(small, two)).toBeGreaterThan(1e-3);
    expect(difference(off, plain)).toBeLessThan(SAME);
  });

  it("compiles once for another structure, and not when it comes back", async () => {
    const model = await withAdapters({ one: lora(), more: lora(4, ["k_proj", "o_proj"]) });
    await alone(model, "one");
    const before = await base.runtime.compilations();
    await alone(model, "more");
    await alone(model, "one");
    await alone(model, "more");
    expect(await base.runtime.compilations()).toBe(before + 1);
  });

  it("compiles nothing for an adapter with modules of its own, switched off", async () => {
    const config = (): LoraConfig =>
      new LoraConfig({ targetModules: ["q_proj"], modulesToSave: ["lm_head"] });
    const model = await withAdapters({ one: config(), two: config() });
    const one = await alone(model, "one");
    const before = await base.runtime.compilations();
    const off = await model.disableAdapter(() => logitsOf(model, batch));
    const two = await alone(model, "two");
    expect(await base.runtime.compilations()).toBe(before);
    expect(difference(off, plain)).toBeLessThan(SAME);
    expect(difference(one, two)).toBeGreaterThan(1e-3);
    expect(await alone(model, "one")).toEqual(one);
  });
});

describe("mixed batches", () => {
  it("equal the single adapters row by row, and the base where there is none", async () => {
    const model = await withAdapters({ one: lora(4), two: lora(2) });
    const [one, two] = [await alone(model, "one"), await alone(model, "two")];
    const half = plain.length / 2;
    const tokens = (5 / 7) * half; // the first row has 5 tokens, and what stands at padding is nobody's business
    for (const [names, expected] of [
      [
        ["one", "two"],
        [one, two],
      ],
      [
        ["two", "__base__"],
        [two, plain],
      ],
    ] as const) {
      const { logits, loss } = await model.forward(batch, { adapterNames: names });
      expect(difference(logits.data.slice(0, tokens), expected[0]!.slice(0, tokens))).toBeLessThan(CLOSE);
      expect(difference(logits.data.slice(half), expected[1]!.slice(half))).toBeLessThan(CLOSE);
      expect(loss).toBeGreaterThan(0);
    }
  });

  it("mix adapters of the head, with labels", async () => {
    const model = await withAdapters({ one: lora(4, ["lm_head"]), two: lora(4, ["lm_head"]) });
    const two = await alone(model, "two");
    const { logits } = await model.forward(batch, { adapterNames: ["__base__", "two"] });
    const half = plain.length / 2;
    expect(difference(logits.data.slice(half), two.slice(half))).toBeLessThan(CLOSE);
  });

  it("refuse what cannot be mixed, a wrong number of names, and an unknown one", async () => {
    const model = await withAdapters({
      one: lora(),
      prompt: new PromptTuningConfig({ numVirtualTokens: 2 }),
    });
    const run = (adapterNames: string[]): Promise<unknown> => model.forward(batch, { adapterNames });
    await expect(run(["one", "prompt"])).rejects.toThrow(/\[batch\].*prompt cannot be mixed/);
    await expect(run(["one"])).rejects.toThrow(/1 names for 2 rows/);
    await expect(run(["one", "nope"])).rejects.toThrow(/\[adapter-name\].*"nope".*one, prompt/);
    model.setAdapter("one");
    await model.mergeAdapter();
    await expect(run(["one", "one"])).rejects.toThrow(/disabled or merged/);
  });

  it("generate row by row", async () => {
    const model = await withAdapters({ one: lora(4), two: lora(2) });
    const input = {
      inputIds: [
        [5, 7, 9],
        [5, 7, 9],
      ],
    };
    const settings = { maxNewTokens: 6, eosTokenId: 95 };
    const single = async (name: string): Promise<number[]> => {
      model.setAdapter(name);
      return (await model.generate({ inputIds: [[5, 7, 9]] }, settings))[0]!;
    };
    const rows = await model.generate(input, { ...settings, adapterNames: ["one", "two"] });
    expect(rows).toEqual([await single("one"), await single("two")]);
  });
});

describe("names", () => {
  it("an unknown adapter is an error that names it", async () => {
    const model = await withAdapters({ one: lora() });
    for (const act of [
      () => model.setAdapter("nope"),
      () => model.deleteAdapter("nope"),
      () => model.setAdapter(["one", "nope"]),
    ])
      expect(act).toThrow(/\[adapter-name\].*no adapter "nope".*it has one/);
    await expect(model.mergeAdapter({ adapterNames: ["nope"] })).rejects.toThrow(/"nope"/);
    const folder = temporaryFolder();
    await expect(model.savePretrained(folder, { selectedAdapters: ["one", "nope"] })).rejects.toThrow(
      /"nope"/,
    );
    expect(readdirSync(folder)).toEqual([]);
    expect(model.activeAdapters).toEqual(["one"]);
    expect(() => model.setAdapter([])).toThrow(/no names/);
  });

  it.each(["__base__", "", "..", "a/b", "a\\b"])("%j is no name", async (name) => {
    const model = await withAdapters({ one: lora() });
    expect(() => model.addAdapter(name, lora())).toThrow(/\[adapter-name\]/);
    expect(() => model.addAdapter("one", lora())).toThrow(/has an adapter of this name/);
    expect([...model.adapters.keys()]).toEqual(["one"]);
  });

  it("that are parts of each other leak nothing", async () => {
    const model = await withAdapters({ a: lora(2), aa: lora(4), "a.b": lora(2), default: lora(3) });
    const before = new Map<string, Float32Array>();
    for (const name of model.adapters.keys()) before.set(name, await alone(model, name));
    const folder = temporaryFolder();
    await model.savePretrained(folder);
    for (const [name, logits] of before) {
      const at = name === "default" ? folder : join(folder, name);
      const again = await PeftModel.fromPretrained(base, at, { adapterName: "x" });
      expect(difference(await logitsOf(again, batch), logits)).toBeLessThan(CLOSE);
      await again.unload();
    }
  });

  it("only selected adapters are saved, others than default in folders of their names", async () => {
    const model = await withAdapters({ default: lora(), one: lora(), two: lora() });
    const folder = temporaryFolder();
    await model.savePretrained(folder, { selectedAdapters: ["default", "two"] });
    const files = ["README.md", "adapter_config.json", "adapter_model.safetensors"];
    expect(readdirSync(folder).sort()).toEqual([...files, "two"].sort());
    expect(readdirSync(join(folder, "two")).sort()).toEqual(files);
    expect(existsSync(join(folder, "one"))).toBe(false);
    const elsewhere = PeftModel.fromPretrained(base, join(folder, "one"));
    await expect(elsewhere).rejects.toThrow(/\[hub\].*no folder/);
  });
});

describe("deleting", () => {
  it("the active adapter leaves no trace; the next one takes over", async () => {
    const model = await withAdapters({ one: lora(), two: lora(2) });
    const two = await alone(model, "two");
    model.setAdapter("one");
    model.deleteAdapter("one");
    expect([...model.adapters.keys()]).toEqual(["two"]);
    expect(model.activeAdapters).toEqual(["two"]);
    expect(await logitsOf(model, batch)).toEqual(two);
    const folder = temporaryFolder();
    await model.savePretrained(folder);
    expect(readdirSync(folder)).toEqual(["two"]);
    model.deleteAdapter("two");
    expect(difference(await logitsOf(model, batch), plain)).toBeLessThan(SAME);
    await expect(model.forwardBackward(batch)).rejects.toThrow(/\[adapter-name\].*none/);
    model.addAdapter("one", lora());
    expect(difference(await logitsOf(model, batch), plain)).toBeLessThan(SAME); // a fresh one: B = 0
  });

  it("a merged adapter is refused until it is unmerged", async () => {
    const model = await withAdapters({ one: lora() });
    await model.mergeAdapter();
    expect(() => model.deleteAdapter("one")).toThrow(/unmergeAdapter/);
    await expect(model.forwardBackward(batch)).rejects.toThrow(/"one" is merged/);
    await model.unmergeAdapter();
    model.deleteAdapter("one");
    expect(await logitsOf(model, batch)).toEqual(plain);
  });
});

describe("several at once", () => {
  it("are active together, and merge one after another", async () => {
    const model = await withAdapters({ one: lora(4), two: lora(2) });
    model.setAdapter(["one", "two"]);
    const both = await logitsOf(model, batch);
    await model.mergeAdapter({ adapterNames: ["one"] });
    expect(difference(await logitsOf(model, batch), both)).toBeLessThan(CLOSE);
    await model.mergeAdapter({ adapterNames: ["two"] });
    expect(difference(await logitsOf(model, batch), both)).toBeLessThan(CLOSE);
    await model.unmergeAdapter();
    expect(await logitsOf(model, batch)).toEqual(both);
  });

  it("train together, with one gradient", async () => {
    const model = await withAdapters({ one: lora(4), two: lora(2) });
    model.setAdapter(["one", "two"]);
    const parameters = model.trainableParameters();
    expect(model.trainableParameters()).toBe(parameters);
    const { loss } = await model.forwardBackward(batch, { training: false });
    const size = (name: string): number => model.adapters.get(name)!.state.parameters.size;
    expect(parameters.size).toBe(size("one") + size("two"));
    for (const [i, p] of parameters.list.entries()) {
      const gradient = parameters.gradientOf(i);
      expect(gradient.some((x) => x !== 0)).toBe(true);
      p.data.forEach((x, k) => void (p.data[k] = x - 0.05 * gradient[k]!));
    }
    parameters.zero();
    expect((await model.forwardBackward(batch, { training: false })).loss).toBeLessThan(loss);
  });

  it("refuses two prompts, and two tensors for one weight", async () => {
    const saved = (): LoraConfig => new LoraConfig({ targetModules: ["q_proj"], modulesToSave: ["lm_head"] });
    const model = await withAdapters({
      prompt: new PromptTuningConfig({ numVirtualTokens: 2 }),
      prefix: new PrefixTuningConfig({ numVirtualTokens: 2 }),
      one: saved(),
      two: saved(),
    });
    expect(() => model.setAdapter(["prompt", "prefix"])).toThrow(/\[adapter-config\].*virtual tokens/);
    expect(() => model.setAdapter(["one", "two"])).toThrow(/\[adapter-config\].*lm_head.weight/);
    expect(model.activeAdapters).toEqual(["prompt"]);
  });
});

describe("layers", () => {
  it.each([
    [0, /layers\.0\./],
    [[1], /layers\.1\./],
  ])("layersToTransform %j touches only those layers", async (layersToTransform, expected) => {
    const config = new LoraConfig({ targetModules: ["q_proj", "down_proj"], layersToTransform });
    const model = await withAdapters({ one: config });
    expect([...model.activeAdapter.layers.keys()].length).toBe(2);
    for (const path of model.activeAdapter.layers.keys()) expect(path).toMatch(expected);
  });

  it("a frozen layer's weights get no gradient, and modules to save do", async () => {
    const config = new LoraConfig({ targetModules: ["q_proj"], modulesToSave: ["lm_head"] });
    const model = await withAdapters({ one: config });
    await model.forwardBackward(batch, { training: false });
    const parameters = model.trainableParameters();
    const names = parameters.list
      .filter((_, i) => parameters.gradientOf(i).some((x) => x !== 0))
      .map((p) => p.name);
    expect(names.filter((n) => !n.includes(".lora_"))).toEqual(["lm_head.weight"]);
    expect(names.length).toBe(2 * 2 + 1);
  });
});

it("reads an adapter as Python's .bin", async () => {
  const t5 = await loadBase("SEQ_2_SEQ_LM", "t5");
  onTestFinished(() => t5.close());
  const at = (kind: string): string => join(import.meta.dirname, "fixtures", kind);
  const bin = await PeftModel.fromPretrained(t5, at("bin"));
  const safe = await PeftModel.fromPretrained(t5, at("safetensors"));
  for (const entry of bin.activeAdapter.entries.values())
    expect(safe.activeAdapter.entry(entry.key).data).toEqual(entry.data);
  expect(bin.activeAdapter.entries.size).toBeGreaterThan(4);
});

it("reads the same tokens whatever the padding", async () => {
  const model = await withAdapters({ one: lora() });
  const short = batchOf("CAUSAL_LM", [[5, 7, 9, 11, 3]], ids([[-100, -100, 9, 11, 3]]));
  const padded = await logitsOf(model, batch);
  const single = await logitsOf(model, short);
  expect(difference(single, padded.slice(0, single.length))).toBeLessThan(CLOSE);
});
