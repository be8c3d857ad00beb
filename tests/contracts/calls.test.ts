import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoraConfig } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { AdamW } from "../../src/train/adamw.js";
import { loadBase, sampleBatch, temporaryFolder } from "./kit.js";

// Which adapters and which values a call uses is fixed when it is called: calls that overlap give what they
// give one after another.
let base: PreTrainedModel<"CAUSAL_LM">;
let stored: string;
const batch = sampleBatch("llama") as never;
const prompt = {
  inputIds: [
    [5, 7, 9],
    [9, 40, 41],
  ],
};

beforeAll(async () => {
  base = await loadBase("CAUSAL_LM", "llama");
});
afterAll(() => base.close());

/** Two adapters that differ, the first one active. */
async function open(on: PreTrainedModel<"CAUSAL_LM"> = base): Promise<PeftModel<"CAUSAL_LM">> {
  const model = new PeftModel(on, () => undefined);
  const config = (targetModules: string[]): LoraConfig =>
    new LoraConfig({ r: 4, loraAlpha: 32, initLoraWeights: false, targetModules });
  model.addAdapter("a", config(["q_proj", "v_proj"]), { seed: 1 });
  model.addAdapter("b", config(["o_proj", "down_proj"]), { seed: 2 });
  await model.ready();
  return model;
}

const sum = (x: ArrayLike<number>): number => Array.from(x).reduce((total, v) => total + v, 0);
const rounded = (x: number): number => Number(x.toFixed(3));
const logits = async (run: Promise<{ logits: { data: Float32Array } }>): Promise<number> =>
  rounded(sum((await run).logits.data.map(Math.abs)));

type Call = (model: PeftModel<"CAUSAL_LM">) => unknown;
const calls: Readonly<Record<string, Call>> = {
  forward: (m) => logits(m.forward(batch)),
  "forward by rows": (m) => logits(m.forward(batch, { adapterNames: ["b", "__base__"] })),
  lossOf: async (m) => rounded((await m.lossOf(batch)).loss),
  forwardBackward: async (m) => rounded((await m.forwardBackward(batch, { training: false })).loss),
  generate: (m) => m.generate(prompt, { maxNewTokens: 3 }),
  "disableAdapter(forward)": (m) => m.disableAdapter(() => logits(m.forward(batch))),
  setAdapter: (m) => m.setAdapter("b"),
  mergeAdapter: (m) => m.mergeAdapter(),
  unmergeAdapter: (m) => m.unmergeAdapter(),
  savePretrained: (m) => m.savePretrained(stored),
  saveMerged: (m) => m.saveMerged(stored),
  loadAdapter: (m) => m.loadAdapter(stored, "c"),
  addAdapter: (m) => m.addAdapter("d", new LoraConfig({ targetModules: ["q_proj"], useDora: true })),
  addWeightedAdapter: (m) => m.addWeightedAdapter(["a"], [0.5], "e", { combinationType: "cat" }),
  deleteAdapter: (m) => m.deleteAdapter("a"),
  unload: async (m) => void (await m.unload()),
  step: async (m) => {
    await new AdamW(m.trainableParameters(), { lr: 0.1 }).step();
  },
};

/** What a call gives, or the code of its error; what it throws at once too. */
async function outcome(call: () => unknown): Promise<unknown> {
  try {
    return (await call()) ?? "done";
  } catch (error) {
    return (error as { code?: string }).code ?? error;
  }
}

/** What the model is after both calls. */
async function seen(model: PeftModel<"CAUSAL_LM">): Promise<unknown> {
  return [
    [...model.adapters.keys()].sort(),
    model.activeAdapters,
    await outcome(() => logits(model.forward(batch))),
  ];
}

/**
 * An adapter that is being loaded is on the model once its config was read: after what is called meanwhile.
 */
const LATE = new Set(["loadAdapter, unload"]);

async function fresh(): Promise<PeftModel<"CAUSAL_LM">> {
  const model = await open();
  stored = temporaryFolder();
  await model.savePretrained(stored, { selectedAdapters: ["b"] });
  stored = `${stored}/b`;
  await model.forwardBackward(batch, { training: false });
  return model;
}

describe.each(Object.keys(calls))("%s, and during it", (first) => {
  it.each(Object.keys(calls).filter((second) => !LATE.has(`${first}, ${second}`)))("%s", async (second) => {
    const one = await fresh();
    const inOrder = [
      await outcome(() => calls[first]!(one)),
      await outcome(() => calls[second]!(one)),
      await seen(one),
    ];
    await one.unload();
    const two = await fresh();
    const running = [outcome(() => calls[first]!(two)), outcome(() => calls[second]!(two))];
    const atOnce = [...(await Promise.all(running)), await seen(two)];
    await two.unload();
    expect(atOnce).toEqual(inOrder);
  });
});

type BaseCall = (model: PreTrainedModel<"CAUSAL_LM">) => unknown;
const baseCalls: Readonly<Record<string, BaseCall>> = {
  forward: (m) => logits(m.forward(batch)),
  forwardBackward: async (m) => rounded((await m.forwardBackward(batch, { training: false })).loss),
  generate: (m) => m.generate(prompt, { maxNewTokens: 3 }),
  "disableAdapter(forward)": (m) => m.disableAdapter(() => logits(m.forward(batch))),
  step: async (m) => void (await new AdamW(m.trainableParameters(), { lr: 0.1 }).step()),
  savePretrained: async (m) => {
    const folder = temporaryFolder();
    await m.savePretrained(folder);
    const saved = await loadBase("CAUSAL_LM", folder);
    const result = await logits(saved.forward(batch));
    await saved.close();
    return result;
  },
};

describe("a model that trains whole", () => {
  const pairs = Object.keys(baseCalls).flatMap((a) => Object.keys(baseCalls).map((b) => [a, b] as const));
  const changes = pairs.filter((pair) => pair.includes("step") || pair.includes("forwardBackward"));
  it.each(changes)("%s, and during it %s", async (first, second) => {
    const open = async (): Promise<PreTrainedModel<"CAUSAL_LM">> => {
      const model = await loadBase("CAUSAL_LM", "llama");
      await model.forwardBackward(batch, { training: false });
      return model;
    };
    const [one, two] = [await open(), await open()];
    const inOrder = [
      await outcome(() => baseCalls[first]!(one)),
      await outcome(() => baseCalls[second]!(one)),
    ];
    const running = [outcome(() => baseCalls[first]!(two)), outcome(() => baseCalls[second]!(two))];
    expect(await Promise.all(running)).toEqual(inOrder);
    expect(await logits(two.forward(batch))).toBe(await logits(one.forward(batch)));
    await Promise.all([one.close(), two.close()]);
  });
});

describe("merged adapters and calls that ask for the base", () => {
  const asks: Readonly<Record<string, (m: PeftModel<"CAUSAL_LM">) => Promise<number>>> = {
    disableAdapter: (m) => m.disableAdapter(() => logits(m.forward(batch))),
    "adapters: []": (m) => logits(m.forward(batch, { adapters: [] })),
  };
  it.each(Object.keys(asks))("%s: they are unmerged, before or while it is called", async (name) => {
    const model = await open();
    const [on, off] = [await logits(model.forward(batch)), await asks[name]!(model)];
    expect(off).not.toBe(on);
    await model.mergeAdapter();
    expect([await logits(model.forward(batch)), await asks[name]!(model)]).toEqual([on, off]);
    await expect(model.forwardBackward(batch, { training: false })).resolves.toBeDefined(); // not merged
    const merging = model.mergeAdapter();
    expect([await asks[name]!(model), await logits(model.forward(batch))]).toEqual([off, on]);
    await merging;
    await model.unload();
  });
});

describe("a call uses what was active when it was called", () => {
  it("setAdapter, deleteAdapter and disableAdapter do not reach into it", async () => {
    const model = await open();
    const [a, b, none] = [
      await logits(model.forward(batch)),
      await logits(model.forward(batch, { adapters: ["b"] })),
      await logits(model.disableAdapter(() => model.forward(batch))),
    ];
    expect(new Set([a, b, none]).size).toBe(3);
    const first = logits(model.forward(batch));
    model.setAdapter("b");
    const second = logits(model.forward(batch));
    const third = model.disableAdapter(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return await logits(model.forward(batch));
    });
    const fourth = logits(model.forward(batch));
    const fifth = logits(model.forward(batch, { adapters: [] }));
    model.deleteAdapter("b");
    expect(await Promise.all([first, second, third, fourth, fifth])).toEqual([a, b, none, b, none]);
    await model.unload();
  });

  it("adapters names them for one call; names are checked", async () => {
    const model = await open();
    model.setAdapter(["a", "b"]);
    const both = await logits(model.forward(batch));
    model.setAdapter("a");
    expect(await logits(model.forward(batch, { adapters: ["a", "b"] }))).toBe(both);
    expect(await model.generate(prompt, { maxNewTokens: 2, adapters: [] })).toEqual(
      await model.disableAdapter(() => model.generate(prompt, { maxNewTokens: 2 })),
    );
    await expect(model.forward(batch, { adapters: ["c"] })).rejects.toThrow(
      /\[adapter-name\].*"c".*has a, b/s,
    );
    await expect(model.generate(prompt, { adapters: ["c"] })).rejects.toThrow(/\[adapter-name\]/);
    await expect(model.forwardBackward(batch, { adapters: [] })).rejects.toThrow(
      /\[training\].*without an adapter/s,
    );
    await expect(model.forward(batch, { adapters: [], adapterNames: ["a", "b"] })).rejects.toThrow(
      /\[batch\]/,
    );
    await model.forwardBackward(batch, { adapters: ["b"] });
    const counts = ["a", "b"].map((name) => model.adapters.get(name)!.state.parameters.count);
    expect(counts).toEqual([0, 9]);
    await model.mergeAdapter();
    await expect(model.forward(batch, { adapters: ["b"] })).rejects.toThrow(/\[batch\].*a are merged/s);
    await model.unload();
  });
});

it("gradients of passes that overlap add up; what is zeroed or written under a run is refused", async () => {
  const model = await open();
  const parameters = model.trainableParameters();
  await model.forwardBackward(batch, { training: false });
  const once = parameters.gradient.slice();
  parameters.zero();
  await Promise.all([1, 2].map(() => model.forwardBackward(batch, { training: false })));
  parameters.gradient.forEach((x, i) => void expect(x).toBeCloseTo(2 * once[i]!, 4));
  const pass = model.forwardBackward(batch);
  parameters.zero();
  await expect(pass).rejects.toThrow(/\[training\].*changed while a run/s);
  await model.unload();
});

it("close during runs and calls after it: refused by name, and nothing waits", async () => {
  const own = await loadBase("CAUSAL_LM", "llama");
  const model = await open(own);
  await model.forward(batch);
  const runs = [model.forward(batch), model.generate(prompt, { maxNewTokens: 50 }), model.mergeAdapter()];
  const all = Promise.allSettled(runs);
  await model.close();
  for (const run of await all)
    if (run.status === "rejected") expect(run.reason).toMatchObject({ code: "engine" });
  await model.close();
  const later = [
    () => model.forward(batch),
    () => model.lossOf(batch),
    () => model.forwardBackward(batch),
    () => model.generate(prompt),
    () => own.forward(batch),
  ];
  for (const call of later) await expect(call()).rejects.toThrow(/\[engine\] The model was closed/);
});
