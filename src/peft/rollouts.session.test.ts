import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Rollout } from "../generate/rollouts.js";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForCausalLM } from "./auto.js";
import { getPeftModel } from "./get_peft_model.js";
import type { PeftModel } from "./peft_model.js";
import type { RolloutSettings } from "./rollouts.js";

const kit = fileURLToPath(new URL("../../tests/kit/models/llama", import.meta.url));
const prompts = [
  [13, 51, 16, 20],
  [28, 7],
  [40, 94, 49, 11, 48, 15],
];
const END = Array.from({ length: 12 }, (_, i) => 3 * i); // answers of many lengths

let model: PeftModel<"CAUSAL_LM">;
beforeAll(async () => {
  const base = await AutoModelForCausalLM.fromPretrained(kit, { threads: 1 });
  model = getPeftModel(base, new LoraConfig({ r: 2, initLoraWeights: false }), { seed: 1 });
});
afterAll(() => model.close());

const sample = (settings: RolloutSettings = {}): Promise<Rollout[]> =>
  model.rollouts(prompts, {
    generations: 5,
    maxNewTokens: 9,
    temperature: 1.3,
    eosTokenId: END,
    ...settings,
  });

const idsOf = (rollouts: readonly Rollout[]): number[][] => rollouts.map(({ ids }) => ids);

describe("rollouts", () => {
  it("come in the order of prompts and copies, up to their end token", async () => {
    const heard: Rollout[] = [];
    const rollouts = await sample({ onRollout: (rollout) => heard.push(rollout) });
    expect(rollouts.map(({ prompt, copy }) => [prompt, copy])).toEqual(
      prompts.flatMap((_, prompt) => [0, 1, 2, 3, 4].map((copy) => [prompt, copy])),
    );
    for (const { ids, logProbs, isEnded } of rollouts) {
      expect(logProbs).toHaveLength(ids.length);
      expect(isEnded).toBe(END.includes(ids.at(-1)!));
      expect(ids.slice(0, -1).some((id) => END.includes(id))).toBe(false);
      if (!isEnded) expect(ids).toHaveLength(9);
    }
    expect(new Set(rollouts.map(({ ids }) => ids.length)).size).toBeGreaterThan(3);
    expect(new Set(heard)).toEqual(new Set(rollouts));
  });

  it("are the same however many run at a time, and differ by seed and number", async () => {
    const all = idsOf(await sample());
    for (const rows of [1, 2, 3, 7]) expect(idsOf(await sample({ rows })), `${rows} rows`).toEqual(all);
    expect(idsOf(await sample({ seed: 1 }))).not.toEqual(all);
    const later = await model.rollouts(prompts.slice(1), {
      ...{ generations: 5, maxNewTokens: 9, temperature: 1.3, eosTokenId: END, first: 5 },
    });
    expect(idsOf(later)).toEqual(all.slice(5));
  });

  it("have the log-probabilities that the model gives their tokens", async () => {
    for (const rollout of await sample({ rows: 4 })) {
      const prompt = prompts[rollout.prompt]!;
      const row = [...prompt, ...rollout.ids];
      const labels = [...prompt.map(() => -100), ...rollout.ids];
      const shape: [number, number] = [1, row.length];
      const { tokens } = await model.logProbs(
        {
          task: "CAUSAL_LM",
          inputIds: { data: Int32Array.from(row), shape },
          attentionMask: { data: new Int32Array(row.length).fill(1), shape },
          labels: { data: Int32Array.from(labels), shape },
        },
        { temperature: 1.3 },
      );
      const own = [...tokens.data].slice(prompt.length);
      for (const [i, logProb] of rollout.logProbs.entries()) expect(logProb).toBeCloseTo(own[i]!, 4);
    }
  });

  it("of a temperature near 0 are what greedy decoding gives", async () => {
    const rollouts = await model.rollouts(prompts, { maxNewTokens: 6, temperature: 1e-3, eosTokenId: [] });
    for (const [i, { ids }] of rollouts.entries()) {
      const [row] = await model.generate(
        { inputIds: [prompts[i]!] },
        { maxNewTokens: 6, doSample: false, eosTokenId: [] },
      );
      expect([...prompts[i]!, ...ids]).toEqual(row);
    }
  });

  it.each([
    [[], {}, "There is no prompt"],
    [[[1], []], {}, "Prompt 1 is empty"],
    [[[1, 1_000_000]], {}, "Token id 1000000 is in a prompt"],
    [[[1]], { generations: 0 }, "generations: 0"],
    [[[1]], { temperature: 0, maxNewTokens: 4 }, "temperature: 0"],
    [[[1]], { maxNewTokens: 5000 }, "is 5001 tokens"],
  ])("refuses %j with %j", async (rows, settings, what) => {
    await expect(model.rollouts(rows, settings)).rejects.toThrow(what);
  });

  it("ends at the next token when it is told to", async () => {
    const abort = new AbortController();
    const onRollout = (): void => abort.abort();
    await expect(sample({ rows: 2, signal: abort.signal, onRollout })).rejects.toMatchObject({
      code: "aborted",
    });
  });
});
