import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { PreTrainedModel } from "../../src/peft/base_model.js";

interface Case {
  readonly rope: Readonly<Record<string, unknown>>;
  readonly length: number;
  readonly sum: number;
  readonly last: readonly number[];
}

const cases = JSON.parse(readFileSync(new URL("ropes.json", import.meta.url), "utf8")) as Case[];
const kit = fileURLToPath(new URL("../kit/models/llama", import.meta.url));

describe("a rope of every kind, within the context of pretraining and beyond, is transformers'", () => {
  it.each([...new Set(cases.map(({ rope }) => JSON.stringify(rope)))])("%s", async (text) => {
    const config = { rope_scaling: JSON.parse(text) };
    const model = await PreTrainedModel.load("CAUSAL_LM", kit, { config, threads: 1 });
    for (const { length, sum, last } of cases.filter(({ rope }) => JSON.stringify(rope) === text)) {
      const inputIds = { data: Int32Array.from({ length }, (_, i) => (7 * i + 5) % 96), shape: [1, length] as const };
      const attentionMask = { data: new Int32Array(length).fill(1), shape: [1, length] as const };
      const { logits } = await model.forward({ task: "CAUSAL_LM", inputIds, attentionMask } as Parameters<typeof model.forward>[0]);
      const all = logits.data as Float32Array;
      expect(all.reduce((a, x) => a + Math.abs(x), 0) / sum).toBeCloseTo(1, 5);
      last.forEach((x, i) => expect(all[(length - 1) * 96 + i]).toBeCloseTo(x, 4));
    }
    await model.close();
  });

  it("a kind that is not built is named", async () => {
    const config = { rope_scaling: { rope_type: "mrope", mrope_section: [2, 3, 3] } };
    await expect(PreTrainedModel.load("CAUSAL_LM", kit, { config })).rejects.toThrow(
      /variant.*not built here.*"rope_scaling.rope_type" is "mrope".*"yarn"/s,
    );
  });
});
