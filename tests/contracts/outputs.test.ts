import { afterAll, beforeAll, expect, it } from "vitest";
import type { AdapterConfig, ConfigClass, Method } from "../../src/index.js";
import { AdamW, configClass, getPeftModel, PeftModel, perRow, registerMethod } from "../../src/index.js";
import { CLOSE, difference, loadBase, sampleBatch, temporaryFolder } from "./kit.js";

// A method that stands on modules' results, from outside: of the package, only what its index exports.

interface ShiftOptions {
  places?: readonly string[];
}
interface ShiftConfig extends AdapterConfig {
  readonly places: readonly string[];
}
const ShiftConfig: ConfigClass<ShiftConfig, ShiftOptions> = configClass("SHIFT", "ShiftConfig", {
  options: {
    places: { kind: "names", byDefault: ["self_attn", "mlp"], means: "modules whose results are shifted" },
  },
});

/** y + gate shift, of the result y of a module. */
const shift: Method<ShiftConfig> = {
  name: "shift",
  config: ShiftConfig,
  outputs: {
    select: (c, { path }) => c.places.some((name) => path.endsWith(name)),
    parameters: (_, { dim }) => [{ key: "shift", shape: [dim], initial: { kind: "normal", std: 0.3 } }],
    forward: (a, y) => a.next(a.g.add(y, a.g.mul(a.p("shift"), perRow(a.g, a.gate, y)))),
  },
};

beforeAll(() => registerMethod(shift));
const batch = sampleBatch("llama") as never;
const open = [
  await loadBase("CAUSAL_LM", "llama"),
  await loadBase("CAUSAL_LM", "llama", { plan: "checkpointed" }),
] as const;
const [base, blockwise] = open;
afterAll(async () => {
  for (const model of open) await model.close();
});

it("has a parameter for each result that it chooses, and changes nothing where it is off", async () => {
  const plain = await base.forward(batch);
  const model = getPeftModel(base, new ShiftConfig({ places: ["mlp"] }));
  const { layers, hiddenSize } = base.config;
  expect([...model.trainableParameters()].map(({ name, shape }) => [name, shape])).toEqual(
    Array.from({ length: layers }, (_, i) => [`model.layers.${i}.mlp.shift`, [hiddenSize]]),
  );
  const shifted = await model.forward(batch);
  expect(difference(shifted.logits.data, plain.logits.data)).toBeGreaterThan(0.01);
  expect(await model.disableAdapter(() => model.forward(batch))).toEqual(plain);
  for (const { data } of model.trainableParameters()) data.fill(0);
  model.trainableParameters().version++;
  expect(difference((await model.forward(batch)).logits.data, plain.logits.data)).toBe(0);
  expect(model.isMergeable).toBe(false);
  await model.unload();
});

it("trains; the gradient is the same block by block; it is the same when it is loaded", async () => {
  const gradients: Float32Array[] = [];
  for (const one of open) {
    const model = getPeftModel(one, new ShiftConfig());
    await model.forwardBackward(batch);
    gradients.push(model.trainableParameters().gradient.slice());
    await model.unload();
  }
  expect(difference(gradients[0]!, gradients[1]!)).toBeLessThan(CLOSE);
  expect(gradients[0]!.some((x) => Math.abs(x) > 1e-3)).toBe(true);
  const model = getPeftModel(base, new ShiftConfig());
  const before = await model.lossOf(batch);
  const optimizer = new AdamW(model.trainableParameters(), { lr: 0.05 });
  for (let i = 0; i < 10; i++) {
    await model.forwardBackward(batch);
    await optimizer.step();
  }
  const trained = await model.lossOf(batch);
  expect(trained.loss).toBeLessThan(0.95 * before.loss);
  const folder = temporaryFolder();
  await model.savePretrained(folder);
  await model.unload();
  const again = await PeftModel.fromPretrained(blockwise, folder);
  expect((await again.lossOf(batch)).loss).toBeCloseTo(trained.loss, 5);
  await again.unload();
});
