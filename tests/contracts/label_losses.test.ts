import { describe, expect, it } from "vitest";
import { getPeftModel, LoraConfig, lossNamed } from "../../src/index.js";
import { loadBase } from "./kit.js";

// Label smoothing and weights of rows against their formulas, worked out here from the logits.

const shape = [2, 6] as const;
const inputIds = { data: Int32Array.from([5, 9, 2, 41, 7, 3, 8, 8, 30, 12, 0, 0]), shape };
const attentionMask = { data: Int32Array.from([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]), shape };
const labels = { data: Int32Array.from([-100, 9, 2, 41, 7, 3, -100, -100, 30, 12, -100, -100]), shape };
const weights = { data: Float32Array.from([1, 3]), shape: [2] };
const batch = { task: "CAUSAL_LM" as const, inputIds, attentionMask, labels, columns: { weights } };

const logSoftmax = (logits: Float32Array): number[] => {
  const top = Math.max(...logits);
  const norm = top + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - top), 0));
  return Array.from(logits, (x) => x - norm);
};

/** Of all labelled tokens: the weighted mean of (1 - s) nll + s mean nll. */
function expected(
  logits: { data: Float32Array; shape: readonly number[] },
  s: number,
  weigh: readonly number[],
): number {
  const [, length = 0, vocab = 0] = logits.shape;
  let [sum, count] = [0, 0];
  for (let row = 0; row < 2; row++)
    for (let at = 1; at < length; at++) {
      const label = labels.data[row * length + at]!;
      if (label < 0) continue;
      const start = (row * length + at - 1) * vocab;
      const logs = logSoftmax(logits.data.subarray(start, start + vocab));
      const mean = logs.reduce((a, b) => a + b, 0) / vocab;
      sum -= weigh[row]! * ((1 - s) * logs[label]! + s * mean);
      count += weigh[row]!;
    }
  return sum / count;
}

describe("the loss over tokens", () => {
  it.each([
    ["smoothed", { smoothing: 0.1 }, 0.1, [1, 1]],
    ["with weights of rows", { weights: "weights" }, 0, [1, 3]],
    ["with both", { smoothing: 0.3, weights: "weights" }, 0.3, [1, 3]],
  ] as const)("is what its formula says, %s", async (_, options, smoothing, weigh) => {
    const base = await loadBase("CAUSAL_LM", "llama");
    await using model = getPeftModel(base, new LoraConfig({ r: 2, initLoraWeights: false }));
    const { logits } = await model.forward(batch);
    const loss = lossNamed("tokens", options);
    const right = expected(logits, smoothing, weigh);
    expect((await model.lossOf(batch, { loss })).loss).toBeCloseTo(right, 5);
    // and the way down of its gradient is its own
    const parameters = model.trainableParameters();
    expect((await model.forwardBackward(batch, { loss, training: false })).loss).toBeCloseTo(right, 5);
    const gradient = Float32Array.from(parameters.gradient, (x) => x / parameters.count);
    const squares = gradient.reduce((sum, x) => sum + x * x, 0);
    const step = 1e-3 / Math.sqrt(squares);
    const moved = gradient.map((x) => step * x);
    for (const [k, { data }] of parameters.list.entries())
      parameters.gradientOf(k, moved).forEach((x, i) => {
        data[i]! -= x;
      });
    parameters.version++;
    const after = (await model.lossOf(batch, { loss })).loss;
    expect((right - after) / (step * squares)).toBeCloseTo(1, 1);
  });

  it("refuses a smoothing of 1", () => {
    expect(() => lossNamed("tokens", { smoothing: 1 })).toThrow(/above 0 and below 1/);
  });
});

describe("NEFTune", () => {
  it("adds the same noise for the same step, more with more of it, and none in evaluation", async () => {
    const base = await loadBase("CAUSAL_LM", "llama");
    await using model = getPeftModel(base, new LoraConfig({ r: 2, initLoraWeights: false }));
    const loss = async (neftune?: number, training = true) =>
      (await model.forwardBackward(batch, neftune === undefined ? { training } : { training, neftune })).loss;
    const plain = await loss();
    const [little, much] = [await loss(1e-4), await loss(5)];
    expect(Math.abs(little - plain)).toBeLessThan(1e-4);
    expect(Math.abs(much - plain)).toBeGreaterThan(1e-3);
    expect(await loss(5)).toBe(much);
    expect(await loss(5, false)).toBe(await loss(undefined, false));
  });
});
