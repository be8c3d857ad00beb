import { afterAll, beforeAll, expect, it } from "vitest";
import { IA3Config, LoraConfig } from "../../src/methods/index.js";
import type { CombinationType } from "../../src/methods/method.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { CLOSE, difference, disturb, loadBase, logitsOf, SAME, sampleBatch, temporaryFolder } from "./kit.js";

const batch = sampleBatch("llama");
let base: PreTrainedModel;
beforeAll(async () => {
  base = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
});
afterAll(() => base.close());

async function withAdapters(configs: Readonly<Record<string, object>>): Promise<PeftModel> {
  const model = new PeftModel(base);
  for (const [i, [name, options]] of Object.entries(configs).entries()) {
    model.addAdapter(name, "peftType" in options ? (options as never) : new LoraConfig(options));
    await model.ready();
    disturb(model.adapters.get(name)!, 1 + i);
  }
  return model;
}

const two = {
  a: { r: 2, targetModules: ["q_proj"] },
  b: { r: 3, loraAlpha: 5, targetModules: ["q_proj", "v_proj"] },
};

it.each(["cat", "svd"] as const)("%s is exact, whatever the ranks and targets", async (combinationType) => {
  const model = await withAdapters(two);
  await model.addWeightedAdapter(["a", "b"], [0.5, -0.25], "both", { combinationType, svdRank: 5 });
  expect(model.activeAdapters).toEqual(["a"]);
  // the same sum by hand: each adapter's B times its weight, both active
  for (const [name, weight] of [
    ["a", 0.5],
    ["b", -0.25],
  ] as const) {
    const adapter = model.adapters.get(name)!;
    for (const { key, data } of adapter.entries.values())
      if (key.endsWith("lora_B.weight")) data.forEach((x, i) => void (data[i] = weight * x));
    adapter.state.touch();
  }
  model.setAdapter(["a", "b"]);
  const expected = await logitsOf(model, batch);
  model.setAdapter("both");
  expect(difference(await logitsOf(model, batch), expected)).toBeLessThan(CLOSE);
  const folder = temporaryFolder();
  await model.savePretrained(`${folder}/all`);
  const again = new PeftModel(base);
  await again.loadAdapter(`${folder}/all/both`, "both");
  expect(difference(await logitsOf(again, batch), expected)).toBeLessThan(CLOSE);
  expect(again.adapters.get("both")!.config).toMatchObject({
    targetModules: ["q_proj", "v_proj"],
    r: 5,
    loraAlpha: 5,
  });
});

it("one adapter with the weight 1 is what it was", async () => {
  const model = await withAdapters({ a: { r: 4, targetModules: "all-linear" } });
  const before = await logitsOf(model, batch);
  await model.addWeightedAdapter(["a"], [1], "same");
  model.setAdapter("same");
  expect(difference(await logitsOf(model, batch), before)).toBeLessThan(CLOSE);
});

it.each(["dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd"] as const)(
  "%s drops at random, by its seed; with density 1 nothing",
  async (combinationType) => {
    const model = await withAdapters({ a: { r: 2 }, b: { r: 2 } });
    const mixed = async (type: CombinationType, density: number, seed: number): Promise<Float32Array> => {
      await model.addWeightedAdapter(["a", "b"], [0.6, 0.4], "m", { combinationType: type, density, seed });
      model.setAdapter("m");
      const logits = await logitsOf(model, batch);
      model.deleteAdapter("m");
      return logits;
    };
    expect(await mixed(combinationType, 0.5, 1)).toEqual(await mixed(combinationType, 0.5, 1));
    expect(await mixed(combinationType, 0.5, 1)).not.toEqual(await mixed(combinationType, 0.5, 2));
    const plain = combinationType.replace(/^dare_/, "") as CombinationType;
    const other = plain.startsWith("linear") ? (plain === "linear" ? "linear" : "svd") : plain;
    expect(
      difference(await mixed(combinationType, 1, 1), await mixed(other as CombinationType, 1, 1)),
    ).toBeLessThan(SAME);
  },
);

it("bounds what it makes by a quantile", async () => {
  const model = await withAdapters(two);
  const largest = (name: string): number =>
    Math.max(
      ...[...model.adapters.get(name)!.entries.values()].flatMap(({ data }) => [...data.map(Math.abs)]),
    );
  await model.addWeightedAdapter(["a", "b"], [1, 1], "open");
  await model.addWeightedAdapter(["a", "b"], [1, 1], "bounded", { svdClamp: 0.9 });
  expect(largest("bounded")).toBeLessThan(largest("open"));
});

it.each([
  ["other methods", { a: {}, b: new IA3Config({}) }, [1, 1], {}, /IA3 adapter "b" cannot be mixed/],
  ["as many weights as adapters", { a: {}, b: {} }, [1], {}, /2 adapters and the weights \[1\]/],
  ["other ranks", { a: { r: 2 }, b: { r: 3 } }, [1, 1], { combinationType: "linear" }, /ranks 2, 3/],
  ["no density", { a: {}, b: {} }, [1, 1], { combinationType: "ties" }, /density is undefined/],
  ["DoRA", { a: { useDora: true }, b: {} }, [1, 1], {}, /DoRA/],
  ["pattern and list", { a: { targetModules: ".*q_proj" }, b: {} }, [1, 1], {}, /a pattern and a list/],
] as const)("refuses %s, and adds nothing", async (_, configs, weights, options, message) => {
  const model = await withAdapters(configs);
  await expect(model.addWeightedAdapter(["a", "b"], weights, "m", options)).rejects.toThrow(message);
  expect([...model.adapters.keys()]).toEqual(["a", "b"]);
});
