import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Loss } from "../../src/losses/loss.js";
import { LoraConfig, PromptEncoderConfig, PveraConfig } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { Inputs } from "../../src/trace/feeds.js";
import { batchOf, difference, disturb, ids, loadBase, logitsOf, sampleBatch } from "./kit.js";

// Dropout through the real engine: the base's by its config's rates, the adapter's on its own branch, both by
// counters.

/**
 * Hidden states' mean: linear in what is dropped, so that its mean over seeds is the mean without dropout.
 */
const average: Loss = {
  name: "average of the logits",
  write: ({ g, logits }) => ({ sum: g.mean(logits()), count: g.scalar(1) }),
};

async function lossAt(model: PeftModel, batch: Inputs, training = true, loss?: Loss): Promise<number> {
  const result = await model.forwardBackward(batch, { training, ...(loss ? { loss } : {}) });
  return result.loss;
}

/** Losses of as many steps: an optimizer's step is what changes the masks. */
async function losses(model: PeftModel, batch: Inputs, steps: number, loss?: Loss): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < steps; i++) {
    found.push(await lossAt(model, batch, true, loss));
    model.trainableParameters().zero();
  }
  return found;
}

function statistics(x: readonly number[]): { mean: number; deviation: number } {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  return { mean, deviation: Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / (x.length - 1)) };
}

describe("the adapter's", () => {
  const batch = sampleBatch("llama");
  let base: PreTrainedModel;
  beforeAll(async () => {
    base = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
  });
  afterAll(() => base.close());

  async function model(
    options: ConstructorParameters<typeof LoraConfig>[0],
    start = true,
  ): Promise<PeftModel> {
    const made = new PeftModel(base);
    onTestFinished(async () => void (await made.unload()));
    made.addAdapter("default", new LoraConfig({ r: 4, ...options }));
    await made.ready();
    if (start) disturb(made.activeAdapter);
    return made;
  }

  it("leaves the mean where it is, on the last layer, and has a variance", async () => {
    // On the head nothing follows that is not linear.
    const m = await model({ targetModules: ["lm_head"], loraDropout: 0.5 });
    const without = await lossAt(m, batch, false, average);
    const { mean, deviation } = statistics(await losses(m, batch, 200, average));
    expect(deviation).toBeGreaterThan(1e-4);
    expect(Math.abs(mean - without)).toBeLessThan((4 * deviation) / Math.sqrt(200));
  });

  it("has the variance of p = 0.5: another rate has another", async () => {
    const deviations: number[] = [];
    for (const loraDropout of [0.2, 0.5]) {
      const m = await model({ targetModules: ["lm_head"], loraDropout });
      deviations.push(statistics(await losses(m, batch, 200, average)).deviation);
    }
    // Var = x^2 p / (1 - p): 1 for 0.5, 1/4 for 0.2.
    expect(deviations[1]! / deviations[0]!).toBeGreaterThan(1.7);
    expect(deviations[1]! / deviations[0]!).toBeLessThan(2.3);
  });

  it("is on its own branch only: where B = 0 nothing changes", async () => {
    const m = await model({ targetModules: ["q_proj", "v_proj"], loraDropout: 0.5 }, false);
    const [first, second] = await losses(m, batch, 2);
    expect(first).toBe(second);
    expect(Math.abs(first! - (await lossAt(m, batch, false)))).toBeLessThan(1e-5);
  });

  it("is off in evaluation", async () => {
    const m = await model({ targetModules: ["q_proj"], loraDropout: 0.5 });
    expect(await lossAt(m, batch, false)).toBe(await lossAt(m, batch, false));
    const forward = (await m.forward(batch)).loss!;
    expect(Math.abs(forward - (await lossAt(m, batch, false)))).toBeLessThan(1e-5);
    expect(Math.abs(forward - (await lossAt(m, batch)))).toBeGreaterThan(1e-4);
  });

  it("PVeRA's noise leaves the mean where it is, and is off in evaluation", async () => {
    const m = new PeftModel(base);
    onTestFinished(async () => void (await m.unload()));
    m.addAdapter("default", new PveraConfig({ r: 8, targetModules: ["lm_head"] }));
    await m.ready();
    disturb(m.activeAdapter);
    const found = await losses(m, batch, 40, average);
    const { mean, deviation } = statistics(found);
    const without = await lossAt(m, batch, false, average);
    expect(await lossAt(m, batch, false, average)).toBe(without);
    expect(deviation).toBeGreaterThan(1e-5);
    expect(Math.abs(mean - without)).toBeLessThan((4 * deviation) / Math.sqrt(found.length));
    expect(new Set(found).size).toBe(found.length);
  });

  it("the same seed and step give the same bits, another step other masks", async () => {
    const make = (): Promise<PeftModel> => model({ targetModules: ["q_proj", "lm_head"], loraDropout: 0.5 });
    const [a, b] = [await make(), await make()];
    const [first, second, third] = await losses(a, batch, 3);
    expect(await losses(b, batch, 3)).toEqual([first, second, third]);
    expect(new Set([first, second, third]).size).toBe(3);
    expect(await lossAt(a, batch)).toBe(await lossAt(a, batch)); // no step between
  });

  it("a sample's mask does not depend on what else is in its batch", async () => {
    const rows = [
      [9, 40, 41, 42, 43, 44, 45],
      [7, 30, 31, 32],
    ];
    const labels = [rows[0]!, [...rows[1]!, -100, -100, -100]];
    const numbers = (n: number[]): Int32Array => Int32Array.from(n);
    const together = { ...batchOf("CAUSAL_LM", rows, ids(labels)), rows: numbers([4, 9]) } as Inputs;
    const one = { ...batchOf("CAUSAL_LM", [rows[0]!], ids([labels[0]!])), rows: numbers([4]) } as Inputs;
    const two = { ...batchOf("CAUSAL_LM", [rows[1]!], ids([rows[1]!])), rows: numbers([9]) } as Inputs;
    const m = await model({ targetModules: ["q_proj", "down_proj", "lm_head"], loraDropout: 0.5 });
    const sum = 6 * (await lossAt(m, one)) + 3 * (await lossAt(m, two));
    expect(Math.abs(sum / 9 - (await lossAt(m, together)))).toBeLessThan(1e-5);
  });

  it("reaches a prompt's encoder", async () => {
    const made = new PeftModel(base);
    onTestFinished(async () => void (await made.unload()));
    const encoderReparameterizationType = "LSTM" as const;
    made.addAdapter(
      "default",
      new PromptEncoderConfig({ numVirtualTokens: 3, encoderReparameterizationType, encoderDropout: 0.5 }),
    );
    const [first, second] = await losses(made, batch, 2);
    expect(Math.abs(first! - second!)).toBeGreaterThan(1e-5);
    expect(await lossAt(made, batch, false)).toBe(await lossAt(made, batch, false));
  });
});

describe("the base's", () => {
  it.each([
    ["t5", "SEQ_2_SEQ_LM", { dropout_rate: 0.5 }],
    ["bert", "SEQ_CLS", { hidden_dropout_prob: 0.5 }],
    ["bert", "SEQ_CLS", { attention_probs_dropout_prob: 0.5 }],
    ["llama", "CAUSAL_LM", { attention_dropout: 0.5 }],
  ] as const)("%s drops by its config's rate in training, and only then", async (kind, task, config) => {
    const base = (await loadBase(task, kind, { config })) as unknown as PreTrainedModel;
    onTestFinished(() => base.close());
    const plain = (await loadBase(task, kind)) as unknown as PreTrainedModel;
    onTestFinished(() => plain.close());
    const batch = sampleBatch(kind);
    expect(await logitsOf(base, batch)).toEqual(await logitsOf(plain, batch));
    const m = new PeftModel(base);
    m.addAdapter("default", new LoraConfig({ r: 4, targetModules: "all-linear" }));
    const found = await losses(m, batch, 4);
    expect(new Set(found).size).toBe(4);
    expect(Math.abs(found[0]! - (await lossAt(m, batch, false)))).toBeGreaterThan(1e-4);
    expect(difference([await lossAt(m, batch, false)], [(await plain.forward(batch)).loss!])).toBeLessThan(
      1e-4,
    );
  });
});
