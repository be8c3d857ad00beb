import { describe, expect, it } from "vitest";
import { AutoModelForCausalLM, getPeftModel, LoraConfig } from "../../src/index.js";
import type { PlanName } from "../../src/plan/plan.js";
import { folderOf } from "./kit.js";

// From rows x tokens^2 = 2^21 on attention goes in chunks of queries, and once a step was long, all are.

const LONG = 1500;
const SHORT = 1400;

/** A row of so many tokens, padded in front by 9. */
function row(length: number) {
  const ids = {
    data: Int32Array.from({ length }, (_, i) => (i * i + 7 * i + 5) % 89),
    shape: [1, length] as const,
  };
  const attentionMask = { data: new Int32Array(length).fill(1, 9), shape: [1, length] as const };
  const labels = { data: ids.data.map((id, i) => (i < 10 ? -100 : id)), shape: ids.shape };
  return { task: "CAUSAL_LM" as const, inputIds: ids, attentionMask, labels };
}

const plans: readonly (readonly [string, PlanName])[] = [
  ["llama", "fused"],
  ["llama", "checkpointed"],
  ["mistral", "fused"], // a window
  ["gemma2", "checkpointed"], // a window, scores that are capped
  ["gpt_neox", "streamed"],
];

describe.each(plans)("%s, %s", (name, plan) => {
  it("has the same loss and gradient in chunks of queries as at once", async () => {
    const base = await AutoModelForCausalLM.fromPretrained(folderOf(name), { plan });
    await using model = getPeftModel(
      base,
      new LoraConfig({ r: 2, initLoraWeights: false, targetModules: "all-linear" }),
    );
    const parameters = model.trainableParameters();
    const step = async (length: number) => {
      parameters.zero();
      const loss = await model.forwardBackward(row(length), { training: false });
      return { loss, gradient: Float32Array.from(parameters.gradient) };
    };
    const atOnce = await step(SHORT);
    const before = await base.runtime.compilations();
    await step(LONG);
    expect(await base.runtime.compilations()).toBeGreaterThan(before);
    const chunked = await step(SHORT);
    expect(chunked.loss.loss).toBeCloseTo(atOnce.loss.loss, 5);
    const scale = Math.max(...atOnce.gradient.map(Math.abs));
    const apart = chunked.gradient.map((x, i) => Math.abs(x - atOnce.gradient[i]!));
    expect(Math.max(...apart) / scale).toBeLessThan(1e-4);
    expect(scale).toBeGreaterThan(0);
  });
});
